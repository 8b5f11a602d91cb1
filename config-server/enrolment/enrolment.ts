// Lets hosts in: proofs first, then the rules, then a certificate (docs/chain.md, section 1).
import { createHash } from 'node:crypto';
import { HomewardError } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import {
  certificateDer,
  issueCertificate,
  parseRequest,
  type Authority,
} from '../../core/identity/authority.ts';
import type {
  EnrolmentBegin,
  EnrolmentBegun,
  EnrolmentFinish,
  EnrolmentFinished,
} from '../../core/identity/enrolment-messages.ts';
import {
  clientProof,
  createNonce,
  proofFits,
  serverProof,
  transcript,
} from '../../core/identity/enrolment-proof.ts';
import { checkMachineName } from '../../core/names.ts';
import type { HostIdentity } from '../../core/identity/host-identity.ts';
import type { KnownHost } from '../hosts/host-list.ts';
import { entryOf, type PendingHost, type WaitReason } from '../hosts/pending-list.ts';
import type { Registry } from '../registry.ts';
import type { PassphraseKeeper } from '../secrets.ts';
import { Attempts } from './attempts.ts';
import { checkClocks, checkVersion, decideEnrolment } from './decide.ts';
import { EnrolmentSessions, type EnrolmentSession } from './sessions.ts';

export interface EnrolmentOptions {
  registry: Registry;
  authority: Authority;
  /** The server's own, as its TLS shows it. */
  identity: HostIdentity;
  passphrase: PassphraseKeeper;
}

/** One that has proved the passphrase. */
interface Proved {
  session: EnrolmentSession;
  keyHash: string;
  address: string;
}

export class EnrolmentDesk {
  readonly #options: EnrolmentOptions;
  readonly #attempts: Attempts;
  readonly #begins: Attempts;
  readonly #sessions: EnrolmentSessions;

  constructor(options: EnrolmentOptions) {
    this.#options = options;
    const nowMs = (): number => options.registry.clock.monotonicMs();
    this.#attempts = new Attempts(nowMs, limits.enrolmentAttempts);
    this.#begins = new Attempts(nowMs, limits.enrolmentBegins);
    this.#sessions = new EnrolmentSessions(nowMs);
  }

  /** Throws 'bad-name', 'clock-apart', 'version-newer', 'not-allowed', 'too-many-attempts'. */
  begin(request: EnrolmentBegin, address: string): EnrolmentBegun {
    this.#begins.check(address);
    this.#begins.count(address);
    const { registry, authority, passphrase } = this.#options;
    const now = registry.clock.now();
    if (request.role === 'config-server') {
      throw new HomewardError('not-allowed', 'a configuration server does not enrol with another');
    }
    checkVersion(request.version, registry.version);
    checkClocks(request.time, now);
    const { hostId, role, name, version } = request;
    if (role === 'mobility') checkMachineName(name);
    const clientNonce = Buffer.from(request.nonce, 'base64url');
    const serverNonce = createNonce();
    const session = this.#sessions.begin({ hostId, role, name, version, clientNonce, serverNonce });
    return {
      session,
      salt: passphrase.current.salt.toString('base64url'),
      nonce: serverNonce.toString('base64url'),
      version: registry.version,
      time: now,
      authority: authority.certificate,
    };
  }

  /** Throws 'wrong-passphrase', 'host-id-taken', 'too-many-attempts', 'timed-out' for one that is over. */
  async finish(
    { session: id, request, proof }: EnrolmentFinish,
    address: string,
  ): Promise<EnrolmentFinished> {
    const session = this.#sessions.get(id);
    if (session === null) {
      throw new HomewardError('timed-out', 'this enrolment has been left alone for too long; begin it again');
    }
    this.#attempts.check(address);
    const { der, publicKey } = await parseRequest(request);
    // Again: others of this address may have failed meanwhile.
    this.#attempts.check(address);
    const { key, seen } = this.#seen(session, der);
    if (!proofFits(Buffer.from(proof, 'base64url'), clientProof(key, seen))) {
      this.#attempts.count(address);
      this.#options.registry.log.warn('enrolment-refused', {
        address,
        name: session.name,
        role: session.role,
      });
      throw new HomewardError(
        'wrong-passphrase',
        'the passphrase is wrong, or somebody sits between the host and the configuration server',
      );
    }
    this.#sessions.proved(id);
    const keyHash = createHash('sha256').update(Buffer.from(publicKey.rawData)).digest('hex');
    const answer = await this.#admit({ session, keyHash, address });
    if (answer !== null) return { state: 'waiting', reason: answer };
    const { authority } = this.#options;
    const certificate = await issueCertificate(authority, request, session);
    const ours = serverProof(key, seen, certificateDer(certificate));
    return { state: 'enrolled', certificate, proof: ours.toString('base64url') };
  }

  /** Lets it in (null), or says why it has to wait. Looks and writes in one turn. */
  #admit(proved: Proved): Promise<WaitReason | null> {
    const { registry } = this.#options;
    return registry.turns.run(async () => {
      const { session, keyHash } = proved;
      ensureNameFree(registry, session);
      const seen = registry.hosts.seen(session.hostId);
      const pending = registry.pending.get(keyHash);
      const decision = decideEnrolment({
        role: session.role,
        trusted: registry.trusted.has(session.hostId),
        known: howKnown(seen, session, keyHash),
        approved: pending?.approved === true && isOf(pending, session),
      });
      if (decision.kind === 'wait') {
        await noteWaiting(registry, proved, decision.reason);
        return decision.reason;
      }
      await enrol(registry, proved, seen);
      return null;
    });
  }

  #seen(session: EnrolmentSession, request: Buffer): { key: Buffer; seen: Buffer } {
    const { identity, authority, passphrase } = this.#options;
    const seen = transcript({
      ...session,
      request,
      serverCertificate: certificateDer(identity.certificate),
      authority: certificateDer(authority.certificate),
    });
    return { key: passphrase.current.key, seen };
  }
}

function howKnown(
  seen: KnownHost | null,
  { role }: EnrolmentSession,
  keyHash: string,
): 'no' | 'removed' | 'same-key' | 'other-key' {
  if (seen === null) return 'no';
  if (seen.removedAt !== null) return 'removed';
  return seen.keyHash === keyHash && seen.role === role ? 'same-key' : 'other-key';
}

/** A machine has one source: another host must not take its name. */
function ensureNameFree({ hosts }: Registry, { role, name, hostId }: EnrolmentSession): void {
  if (role !== 'mobility') return;
  const other = hosts.list().find((host) => host.role === role && host.name === name && host.id !== hostId);
  if (other === undefined) return;
  throw new HomewardError('host-id-taken', `the machine ${name} belongs to the host ${other.id}`, {
    hint: `Choose another name, or if that host is gone: \`homeward hosts remove ${other.id}\`.`,
  });
}

const isOf = (pending: PendingHost, { hostId, role, name }: EnrolmentSession): boolean =>
  pending.hostId === hostId && pending.role === role && pending.name === name;

async function noteWaiting(registry: Registry, proved: Proved, reason: WaitReason): Promise<void> {
  const { session, keyHash, address } = proved;
  const now = registry.clock.now();
  const before = registry.pending.get(keyHash);
  // What an operator sees, and says yes to, is what asks now.
  if (before !== null && isOf(before, session) && before.reason === reason) {
    registry.pending.touch(keyHash, now);
    return;
  }
  const { hostId, role, name, version } = session;
  await registry.pending.put({
    ...{ keyHash, hostId, role, name, version, address, reason },
    firstAsked: before?.firstAsked ?? now,
    lastAsked: now,
    approved: false,
  });
  const command = `homeward hosts approve ${entryOf(keyHash)}`;
  const why = reason === 'host-id-taken' ? `, but another host has its id ${hostId}` : '';
  await registry.events.add({
    kind: 'approval-wanted',
    severity: 'warning',
    host: hostId,
    message: `the ${role} ${name} at ${address} wants to join${why}: ${command}`,
  });
}

async function enrol(registry: Registry, proved: Proved, seen: KnownHost | null): Promise<void> {
  const { session, keyHash, address } = proved;
  const { hostId, role, name, version } = session;
  const again = seen !== null && seen.removedAt === null && seen.keyHash === keyHash;
  if (!again) {
    await registry.hosts.put({
      ...{ id: hostId, role, name, keyHash, version },
      addresses: [],
      disks: [],
      firstContact: seen?.firstContact ?? registry.clock.now(),
      lastContact: null,
      removedAt: null,
    });
    registry.presence.forget(hostId);
    await registry.events.add({
      kind: 'registered',
      severity: 'info',
      host: hostId,
      message: `the ${role} ${name} at ${address} has joined`,
    });
  }
  await registry.pending.remove(keyHash);
}
