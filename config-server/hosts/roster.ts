// The hosts as operators see and change them: those that are in, and beside them those that wait.
import { formatTime } from '../../core/clock.ts';
import { HomewardError } from '../../core/errors.ts';
import type { HostRole } from '../../core/identity/host-identity.ts';
import type { CheckSummary } from '../../core/registration/check-summary.ts';
import type { HostDisk } from '../../core/registration/messages.ts';
import { microseconds } from '../../core/units.ts';
import type { Registry } from '../registry.ts';
import { judgeHost, type Health } from './health.ts';
import type { KnownHost } from './host-list.ts';
import { entryOf, type PendingHost, type WaitReason } from './pending-list.ts';

/** Times are RFC 3339. */
export interface HostReport {
  /** Tells two hosts with one id apart: the beginning of the hash of the key. */
  entry: string;
  id: string;
  role: HostRole;
  name: string;
  version: string;
  /** `approved`: it joins when it asks next. */
  state: 'joined' | 'waiting' | 'approved';
  /** Why it had to wait. */
  reason: WaitReason | null;
  health: Health;
  detail: string | null;
  addresses: string[];
  /** Where it was seen to ask from. */
  seenAt: string | null;
  disks: HostDisk[];
  firstContact: string;
  lastContact: string | null;
  silentSeconds: number | null;
  clockSkewSeconds: number | null;
  /** The newest findings of its checks; null until it has reported some. */
  checks: CheckSummary | null;
}

export function listHosts(registry: Registry): HostReport[] {
  const joined = registry.hosts.list().map((host) => joinedReport(registry, host));
  const waiting = registry.pending.list().map(waitingReport);
  // Both of one id stand side by side.
  return [...joined, ...waiting].toSorted((a, b) => compare(a.role, b.role) || compare(a.id, b.id));
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
const spellTime = (time: number): string => formatTime(microseconds(time));

/** By the last heartbeat, or the last contact that was stored before we started. */
export function silenceOf({ presence, clock }: Registry, host: KnownHost): number | null {
  const silentMs = presence.silentMs(host.id);
  if (silentMs !== null) return silentMs;
  return host.lastContact === null ? null : Math.max(0, (clock.now() - host.lastContact) / 1000);
}

export function joinedReport(registry: Registry, host: KnownHost): HostReport {
  const heard = registry.presence.get(host.id);
  const silentMs = silenceOf(registry, host);
  const skewMs = heard?.skewMs ?? null;
  const lastContact = heard?.at ?? host.lastContact;
  return {
    entry: entryOf(host.keyHash),
    id: host.id,
    role: host.role,
    name: host.name,
    version: host.version,
    state: 'joined',
    reason: null,
    ...judgeHost({ silentMs, skewMs, checks: heard?.heartbeat.checks ?? null }),
    addresses: host.addresses,
    seenAt: heard?.address ?? null,
    disks: host.disks,
    firstContact: spellTime(host.firstContact),
    lastContact: lastContact === null ? null : spellTime(lastContact),
    silentSeconds: silentMs === null ? null : silentMs / 1000,
    clockSkewSeconds: skewMs === null ? null : skewMs / 1000,
    checks: heard?.heartbeat.checks ?? null,
  };
}

const reasons: Readonly<Record<WaitReason, string>> = {
  'new-host': 'waits for approval',
  'host-id-taken': 'another host has this id; approving this one shuts the other out',
  'removed-before': 'was removed before; waits for approval',
};

function waitingReport(host: PendingHost): HostReport {
  return {
    entry: entryOf(host.keyHash),
    id: host.hostId,
    role: host.role,
    name: host.name,
    version: host.version,
    state: host.approved ? 'approved' : 'waiting',
    reason: host.reason,
    health: 'waiting',
    detail: host.approved ? 'approved; joins when it asks next' : reasons[host.reason],
    addresses: [],
    seenAt: host.address,
    disks: [],
    firstContact: spellTime(host.firstAsked),
    lastContact: spellTime(host.lastAsked),
    silentSeconds: null,
    clockSkewSeconds: null,
    checks: null,
  };
}

/**
 * `which` is an entry, an id or a name. One that was approved before is meant only where no other waits.
 * Throws 'no-such-host', or 'conflict' when several wait.
 */
export function approveHost(registry: Registry, which: string): Promise<HostReport> {
  return registry.turns.run(async () => {
    const fitting = registry.pending.list().filter(({ keyHash, hostId, name }) => {
      return entryOf(keyHash) === which || hostId === which || name === which;
    });
    const waiting = fitting.filter(({ approved }) => !approved);
    const found = waiting.length === 0 ? fitting : waiting;
    const [host, another] = found;
    if (host === undefined) {
      const joined = registry.hosts.list().find(({ id, name }) => id === which || name === which);
      if (joined !== undefined) return joinedReport(registry, joined);
      throw new HomewardError('no-such-host', `no host "${which}" waits for approval`);
    }
    if (another !== undefined) throw several(which, found.map(waitingReport));
    const approved = { ...host, approved: true };
    await registry.pending.put(approved);
    await registry.events.add({
      kind: 'approved',
      severity: 'info',
      host: host.hostId,
      message: `the ${host.role} ${host.name} was approved`,
    });
    return waitingReport(approved);
  });
}

/**
 * Of a host that is in, the certificate counts no more, and the protection of its machines ends; one that
 * waits is forgotten. Throws 'conflict' while machines are assigned to a process server or master target.
 */
export function removeHost(registry: Registry, which: string): Promise<HostReport> {
  return registry.turns.run(async () => {
    const found = listHosts(registry).filter(
      ({ entry, id, name }) => entry === which || id === which || name === which,
    );
    const [host, another] = found;
    if (host === undefined) throw new HomewardError('no-such-host', `there is no host "${which}"`);
    if (another !== undefined) throw several(which, found);
    await (host.state === 'joined' ? removeJoined(registry, host) : removeWaiting(registry, host));
    await registry.events.add({
      kind: 'removed',
      severity: 'info',
      host: host.id,
      message: `the ${host.role} ${host.name} was removed`,
    });
    return host;
  });
}

async function removeJoined(registry: Registry, { id }: HostReport): Promise<void> {
  const host = registry.hosts.get(id);
  if (host === null) return;
  const [needed] = registry.assignments
    .active()
    .filter(({ masterTarget, processServer }) => masterTarget === id || processServer.hostId === id);
  if (needed !== undefined) {
    throw new HomewardError('conflict', `${host.name} serves the machine ${needed.name}`, {
      hint: `Give the machine another with \`homeward protect ${needed.name}\`, or unprotect it.`,
    });
  }
  await endProtections(registry, id);
  await registry.hosts.put({ ...host, removedAt: registry.clock.now() });
  registry.presence.forget(id);
  registry.desk.wake(id);
}

/**
 * Process servers go by assignments, not by who was removed: those that name the host as source end, so that
 * its certificate opens nothing any more. Before it is removed, so that a crash between asks for the same.
 */
async function endProtections({ assignments, events }: Registry, source: string): Promise<void> {
  for (const assignment of assignments.active().filter((each) => each.source === source)) {
    const { machine, name } = assignment;
    await assignments.change({ ...assignment, ended: true });
    const message = `${name} is not protected any more: its source was removed`;
    await events.add({ kind: 'unprotected', severity: 'warning', host: source, machine, message });
  }
}

async function removeWaiting(registry: Registry, { entry }: HostReport): Promise<void> {
  const host = registry.pending.list().find(({ keyHash }) => entryOf(keyHash) === entry);
  if (host !== undefined) await registry.pending.remove(host.keyHash);
}

function several(which: string, found: HostReport[]): HomewardError {
  const entries = found.map(({ entry, role, name }) => `${entry} (${role} ${name})`).join(', ');
  return new HomewardError('conflict', `several hosts fit "${which}": ${entries}`, {
    hint: 'Name the entry; `homeward hosts` lists them.',
  });
}
