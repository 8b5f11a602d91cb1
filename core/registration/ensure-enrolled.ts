// A host's identity: that of its data directory, or that of a new enrolment.
import type { Clock } from '../clock.ts';
import { HomewardError } from '../errors.ts';
import { formatAddress, parseAddress, type Address } from '../identity/address.ts';
import { enrol, readPassphrase } from '../identity/enrol.ts';
import {
  ensureHostId,
  ensureKey,
  isInForce,
  readIdentity,
  writeIdentity,
  type HostIdentity,
  type HostName,
  type HostRole,
} from '../identity/host-identity.ts';
import type { Log } from '../log.ts';
import { readVersion } from '../version.ts';

export interface EnrolOptions {
  /** The daemon's data directory. */
  data: string;
  role: HostRole;
  /** What people call this host; the machine's name for a mobility service. */
  name: string;
  /** `HOST:PORT` as typed. */
  configServer: string;
  passphraseFile: string | null;
  clock: Clock;
  log: Log;
  signal: AbortSignal;
}

/**
 * The identity in DATA/identity, or that of a new enrolment when there is none, which waits for approval as
 * long as `signal` lets it. Throws the code of what went wrong: 'wrong-passphrase', 'name-not-resolved' ….
 */
export async function ensureEnrolled(options: EnrolOptions): Promise<HostIdentity> {
  const { data, role, name, clock, log } = options;
  const server = parseAddress(options.configServer);
  const host = ensureHostId(data, role, name);
  const known = readIdentity(data);
  if (known !== null && isInForce(known.certificate, clock.now() / 1000)) {
    return withServer(data, { ...known, name }, server);
  }
  if (known !== null) log.warn('certificate-out-of-force', { hostId: known.hostId });
  const identity = await enrolled(options, host, server, known !== null);
  writeIdentity(data, identity);
  log.info('enrolled', { hostId: host.hostId, role, name, server: formatAddress(server.host, server.port) });
  return identity;
}

async function enrolled(
  { data, passphraseFile, clock, log, signal }: EnrolOptions,
  host: HostName,
  server: Address,
  outOfForce: boolean,
): Promise<HostIdentity> {
  if (passphraseFile === null) {
    throw new HomewardError(
      'usage',
      outOfForce
        ? 'the certificate of this host is not in force by its clock; it has to enrol again'
        : 'this host has not enrolled yet',
      { hint: 'Check its clock, and give --passphrase-file with what `homeward passphrase show` prints.' },
    );
  }
  const passphrase = readPassphrase(passphraseFile);
  const key = ensureKey(data);
  const version = readVersion();
  const given = await enrol({ server, passphrase, host, key, version, clock, log, signal });
  return { ...host, key, ...given, configServer: server };
}

/** The server is known by its authority, so that another address for it needs no new enrolment. */
function withServer(data: string, identity: HostIdentity, server: Address): HostIdentity {
  const { host, port } = identity.configServer;
  if (host === server.host && port === server.port) return identity;
  const moved = { ...identity, configServer: server };
  writeIdentity(data, moved);
  return moved;
}
