// Contacts the configuration server and enrols this host, as a daemon would, but says each step.
import dns from 'node:dns/promises';
import fs from 'node:fs';
import path from 'node:path';
import { formatTime, hostClock } from '../../core/clock.ts';
import { ensureDirectorySync } from '../../core/directory.ts';
import { HomewardError, toHomewardError } from '../../core/errors.ts';
import { formatAddress, type Address } from '../../core/identity/address.ts';
import { enrol } from '../../core/identity/enrol.ts';
import { explainConnect } from '../../core/identity/explain-connect.ts';
import {
  ensureHostId,
  ensureKey,
  isInForce,
  readIdentity,
  writeIdentity,
  type HostIdentity,
  type HostRole,
} from '../../core/identity/host-identity.ts';
import { checkAnswer, httpClient } from '../../core/identity/http-client.ts';
import { connectUnchecked } from '../../core/identity/tls.ts';
import { isNewerVersion } from '../../core/identity/version-order.ts';
import { limits } from '../../core/limits.ts';
import { silentLog, type Log } from '../../core/log.ts';
import { siteFactsPath, siteFactsSchema, type SiteFacts } from '../../core/registration/site-facts.ts';
import { microseconds } from '../../core/units.ts';
import { readVersion } from '../../core/version.ts';

export interface RegisterOptions {
  server: Address;
  /** Null to go by the identity that this host has. */
  passphrase: string | null;
  role: HostRole;
  /** What people call this host. */
  name: string;
  /** Of the daemon; its identity is put there. */
  data: string;
  /** How long an operator has to approve this host, milliseconds; null: until somebody stops it. */
  waitMs: number | null;
  signal: AbortSignal;
  onProgress(text: string): void;
}

/**
 * Resolves when the server and this host know each other and the identity lies in DATA/identity. Throws the
 * code of the one thing that is wrong: 'name-not-resolved', 'connection-refused', 'timed-out', 'not-tls',
 * 'certificate-not-vouched', 'wrong-passphrase', 'clock-apart', 'version-newer', 'waiting-for-approval' ….
 */
export async function register(options: RegisterOptions): Promise<HostIdentity> {
  await tryWay(options);
  ensureDirectorySync(options.data);
  const identity = options.passphrase === null ? await checkKnown(options) : await enrolAnew(options);
  writeIdentity(options.data, identity);
  ownAsDaemon(options.data);
  return identity;
}

/** Name, connection and TLS, one after the other, so that each failure has its own words. */
async function tryWay({ server, signal, onProgress }: RegisterOptions): Promise<void> {
  const address = formatAddress(server.host, server.port);
  onProgress(`Looking up ${server.host}`);
  const found = await lookUp(server.host, address, signal);
  const shown = found === server.host ? address : `${address} (${found})`;
  onProgress(`Connecting to ${shown}`);
  const socket = await connectUnchecked({ ...server, signal, timeoutMs: limits.screenConnectMs });
  socket.on('error', () => undefined);
  socket.destroy();
}

async function lookUp(host: string, address: string, signal: AbortSignal): Promise<string> {
  const stopped = new Promise<never>((_resolve, reject) => {
    const stop = (): void => reject(new HomewardError('interrupted', `looking up ${host} was interrupted`));
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
  });
  try {
    return (await Promise.race([dns.lookup(host), stopped])).address;
  } catch (error) {
    throw explainConnect(error, address);
  }
}

/** The server has to be of the authority that this host knows; its address may be another. */
async function checkKnown({ server, data, signal, onProgress }: RegisterOptions): Promise<HostIdentity> {
  const identity = readIdentity(data);
  if (identity === null || !isInForce(identity.certificate, Date.now())) throw needsPassphrase();
  const client = httpClient({ ...server, identity, expect: { role: 'config-server' }, connections: 1 });
  onProgress(`Checking the certificate of ${client.address}`);
  try {
    const answer = await client.json({ method: 'GET', path: siteFactsPath, signal });
    checkSite(checkAnswer(siteFactsSchema, answer, client.address), client.address);
  } catch (thrown) {
    const error = toHomewardError(thrown);
    // A server of an older version has no such answer, but has let this host ask.
    if (error.code !== 'not-in-this-version') throw withEnrolHint(error);
  } finally {
    await client.close();
  }
  return { ...identity, configServer: server };
}

/** What an enrolment would refuse, too. */
function checkSite({ time, version }: SiteFacts, address: string): void {
  const here = hostClock().now();
  if (Math.abs(here - time) > limits.clockSkewMs * 1000) {
    const clocks = [here, microseconds(time)].map(formatTime);
    const message = `the clock of this host says ${clocks[0]}, that of ${address} ${clocks[1]}`;
    throw new HomewardError('clock-apart', message);
  }
  const ours = readVersion();
  if (!isNewerVersion(ours, version)) return;
  throw new HomewardError('version-newer', `this host has version ${ours}, ${address} has ${version}`);
}

const needsPassphrase = (): HomewardError =>
  new HomewardError('usage', 'this host has not enrolled yet, so the passphrase is needed', {
    hint: '`homeward passphrase show` on the configuration server prints it.',
  });

function withEnrolHint(error: HomewardError): HomewardError {
  if (error.code !== 'certificate-not-vouched') return error;
  return new HomewardError('certificate-not-vouched', error.message, {
    cause: error,
    hint: 'Check the address. If this server is the right one, and new, enter its passphrase.',
  });
}

async function enrolAnew(options: RegisterOptions): Promise<HostIdentity> {
  const { server, data, role, name, onProgress } = options;
  const host = ensureHostId(data, role, name);
  const key = ensureKey(data);
  ownAsDaemon(data);
  onProgress(`Proving the passphrase to ${formatAddress(server.host, server.port)}`);
  const waiting = new Waiting(options);
  try {
    const given = await enrol({
      ...{ server, host, key, version: readVersion(), clock: hostClock() },
      passphrase: options.passphrase ?? '',
      log: waiting.log,
      signal: AbortSignal.any([options.signal, waiting.over]),
    });
    return { ...host, key, ...given, configServer: server };
  } catch (thrown) {
    throw waiting.explain(toHomewardError(thrown));
  } finally {
    waiting.end();
  }
}

/** The enrolment tells its log that it waits for an operator; here somebody looks at the screen instead. */
class Waiting {
  readonly #options: RegisterOptions;
  readonly #over = new AbortController();
  #timer: NodeJS.Timeout | null = null;
  /** What an operator has to type, once it is known that one has to. */
  #command: string | null = null;

  constructor(options: RegisterOptions) {
    this.#options = options;
  }

  /** Aborts when it has waited for as long as it may. */
  get over(): AbortSignal {
    return this.#over.signal;
  }

  get log(): Log {
    const { onProgress } = this.#options;
    return {
      ...silentLog,
      info: (event, fields = {}) => {
        if (event === 'waiting-for-approval') this.#begin(String(fields['command']));
      },
      warn: (event) => {
        if (event === 'enrolment-broken') onProgress('Lost the configuration server; asking again');
      },
    };
  }

  #begin(command: string): void {
    const { onProgress, waitMs } = this.#options;
    this.#command = command;
    onProgress(`Waiting for approval. On the configuration server type:\n${command}`);
    if (waitMs !== null) this.#timer ??= setTimeout(() => this.#over.abort(), waitMs);
  }

  /** Who stops it meanwhile has not failed: it goes on when it is accepted again. */
  explain(error: HomewardError): HomewardError {
    if (error.code !== 'interrupted' || this.#command === null) return error;
    const { host, port } = this.#options.server;
    const what = `${formatAddress(host, port)} knows this host, but nobody has approved it`;
    return new HomewardError('waiting-for-approval', what, {
      cause: error,
      hint: `On the configuration server type \`${this.#command}\`, then accept again here.`,
    });
  }

  end(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
  }
}

/** A daemon without root could not read what root has written here. */
function ownAsDaemon(data: string): void {
  if (process.geteuid?.() !== 0) return;
  const { uid, gid } = fs.statSync(data);
  const directory = path.join(data, 'identity');
  const all = [directory, ...fs.readdirSync(directory).map((name) => path.join(directory, name))];
  for (const file of all) {
    const is = fs.lstatSync(file);
    if (is.uid !== uid || is.gid !== gid) fs.lchownSync(file, uid, gid);
  }
}
