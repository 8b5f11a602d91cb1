// What went wrong, in the words of the screen and of the unattended mode alike.
import type { ErrorCode, HomewardError } from '../../core/errors.ts';
import type { Fault } from './model.ts';

/** What the way to the server was found to be, behind the error itself. */
export interface FaultFacts {
  /** What was asked. */
  port: number;
  host: string;
  speaks: 'ssh' | 'http' | 'nothing-known';
  /** Where a configuration server does answer. */
  usualPort: number | null;
}

/** The thing that is wrong, as section 2 of the design names it. */
const names: Partial<Record<ErrorCode, string>> = {
  'name-not-resolved': 'Name does not resolve',
  'connection-refused': 'Connection refused',
  'timed-out': 'Timed out',
  'not-tls': 'Not TLS',
  'certificate-not-vouched': 'Certificate not vouched for',
  'wrong-passphrase': 'Wrong passphrase',
  'passphrase-too-short': 'Passphrase too short',
  'clock-apart': 'Clock off',
  'version-newer': 'Version too new',
  'waiting-for-approval': 'Waiting for approval',
  'host-id-taken': 'Host id taken',
  'too-many-attempts': 'Too many attempts',
  'not-allowed': 'Not allowed',
  'server-failed': 'Not a configuration server, or one that failed',
};

/** With these nothing sensible could be saved. */
const unusable: readonly ErrorCode[] = [
  'usage',
  'bad-config',
  'bad-name',
  'passphrase-too-short',
  'no-such-file',
  'not-writable',
  'no-space',
  'bug',
];

export function faultOf(error: HomewardError, facts: FaultFacts | null): Fault {
  const { code } = error;
  const usualPort = facts?.usualPort ?? null;
  const hint = facts === null || usualPort === null ? error.hint : usualPortHint(facts.host, usualPort);
  return { code, what: describe(error, facts), hint, usualPort, canSave: !unusable.includes(code) };
}

function describe({ code, message }: HomewardError, facts: FaultFacts | null): string {
  if (facts?.speaks === 'ssh') {
    return `Not TLS: port ${facts.port} of ${facts.host} answers as SSH, not as a configuration server.`;
  }
  if (facts?.speaks === 'http') {
    return `Not TLS: port ${facts.port} of ${facts.host} speaks plain HTTP, without encryption.`;
  }
  const minutes = code === 'clock-apart' ? minutesApart(message) : null;
  const name = minutes === null ? names[code] : `Clock off by ${minutes} minutes`;
  const sentence = /[.!?]$/.test(message) ? message : `${message}.`;
  return name === undefined ? sentence.charAt(0).toUpperCase() + sentence.slice(1) : `${name}: ${sentence}`;
}

const usualPortHint = (host: string, port: number): string =>
  `A configuration server answers at port ${port} of ${host}.`;

/** Whoever of the two found it, the message has both times in RFC 3339. */
export function minutesApart(message: string): number | null {
  const times = message.match(/\d{4}-\d\d-\d\dT[\d:.]+Z/g)?.map((text) => Date.parse(text)) ?? [];
  const [one, other] = times;
  if (one === undefined || other === undefined || Number.isNaN(one - other)) return null;
  return Math.round(Math.abs(one - other) / 60_000);
}
