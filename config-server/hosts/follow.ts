// Takes in what a host says of itself: stored where it changed, and assignments follow it.
import { isDeepStrictEqual } from 'node:util';
import { HomewardError } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import type { Heartbeat, SourceReport } from '../../core/registration/messages.ts';
import type { KnownMachine } from '../machines/machine-list.ts';
import type { Registry } from '../registry.ts';
import type { KnownHost } from './host-list.ts';

/** Throws 'not-allowed' for a machine, or the name of one, that belongs to another host. */
export async function followHeartbeat(
  registry: Registry,
  host: KnownHost,
  heartbeat: Heartbeat,
  address: string,
): Promise<void> {
  const { source } = heartbeat;
  if (source !== undefined) ensureOwn(registry, host, source);
  const heard = registry.presence.note(host.id, heartbeat, address);
  const said = { version: heartbeat.version, addresses: heartbeat.addresses, disks: heartbeat.disks };
  const changed = !isDeepStrictEqual(said, {
    version: host.version,
    addresses: host.addresses,
    disks: host.disks,
  });
  const due = heard.at - (host.lastContact ?? 0) >= limits.contactStoredMs * 1000;
  const machineChanged = source !== undefined && machineDiffers(registry, host, source);
  if (!changed && !due && !machineChanged) return;
  await registry.turns.run(async () => {
    const now = registry.hosts.get(host.id);
    if (now === null) return;
    await registry.hosts.put({ ...now, ...said, lastContact: heard.at });
    if (source !== undefined && machineDiffers(registry, host, source)) {
      ensureNameFree(registry, host, source);
      await followSource(registry, host, source);
    }
    if (host.role === 'process-server') await followAddresses(registry, host.id, heartbeat.addresses);
  });
}

/** A machine goes over to another host only when the one it belongs to was removed. */
function ensureOwn(registry: Registry, host: KnownHost, { machine, name }: SourceReport): void {
  const known = registry.machines.get(machine);
  if (known === null || known.source === host.id || registry.hosts.get(known.source) === null) return;
  throw new HomewardError('not-allowed', `the machine ${name} (${machine}) belongs to ${known.source}`, {
    hint: `If that host is gone: \`homeward hosts remove ${known.source}\`.`,
  });
}

/** Operators name a machine by its name: nobody takes another's. One that stands alone may have another. */
function ensureNameFree({ hosts, machines }: Registry, host: KnownHost, said: SourceReport): void {
  const { machine, name } = said;
  const holders = [
    ...hosts.list().filter((other) => other.role === 'mobility' && other.name === name),
    ...machines.list().flatMap((other) => (other.name === name ? (hosts.get(other.source) ?? []) : [])),
  ];
  const holder = holders.find(({ id }) => id !== host.id);
  if (holder !== undefined) {
    throw new HomewardError('not-allowed', `the machine ${name} belongs to the host ${holder.id}`, {
      hint: `Choose another name, or if that host is gone: \`homeward hosts remove ${holder.id}\`.`,
    });
  }
  const own = machines.list().filter((other) => other.source === host.id && other.id !== machine);
  if (own.length < limits.machinesPerSource) return;
  throw new HomewardError(
    'not-allowed',
    `the host ${host.name} has reported ${own.length} machines already`,
    {
      hint: 'A mobility service has one machine. Remove its DATA/identity and start it again.',
    },
  );
}

function machineDiffers({ machines }: Registry, host: KnownHost, report: SourceReport): boolean {
  const known = machines.get(report.machine);
  if (known === null) return true;
  return known.source !== host.id || known.name !== report.name || !sameDisks(known, report);
}

const sameDisks = (known: KnownMachine, report: SourceReport): boolean =>
  isDeepStrictEqual(known.disks, disksOf(report));

const disksOf = ({ disks }: SourceReport): KnownMachine['disks'] =>
  disks.map(({ name, size, kind }) => ({ name, size, kind }));

/** A new machine is known from here on; a changed one has its assignment follow it. */
async function followSource(registry: Registry, host: KnownHost, report: SourceReport): Promise<void> {
  const known = registry.machines.get(report.machine);
  const { machine: id, name } = report;
  const firstSeen = known?.firstSeen ?? registry.clock.now();
  const next = { id, name, source: host.id, disks: disksOf(report), firstSeen };
  await registry.machines.put(next);
  await registry.events.add({
    kind: known === null ? 'machine-registered' : 'machine-changed',
    severity: 'info',
    host: host.id,
    machine: id,
    message: `${name} has ${next.disks.map((disk) => `${disk.name} (${disk.size} bytes)`).join(', ')}`,
  });
  const assignment = registry.assignments.get(id);
  if (assignment === null || assignment.ended) return;
  // All of them were protected: so is one that was added. Of some, those stay that are still there.
  const all = assignment.disks.length === known?.disks.length;
  const names = assignment.disks.map((disk) => disk.name);
  const disks = next.disks
    .filter((disk) => all || names.includes(disk.name))
    .map((disk) => ({ name: disk.name, size: disk.size }));
  const seeds = assignment.seeds.filter(({ disk }) => disks.some((each) => each.name === disk));
  await registry.assignments.change({ ...assignment, name, source: host.id, disks, seeds });
}

/** Sources find a process server by what its assignment says: it is signed anew when that has moved. */
async function followAddresses(registry: Registry, hostId: string, addresses: string[]): Promise<void> {
  if (addresses.length === 0) return;
  const moved = registry.assignments
    .active()
    .filter(({ processServer }) => processServer.hostId === hostId)
    .filter(({ processServer }) => !isDeepStrictEqual(processServer.addresses, addresses));
  for (const assignment of moved) {
    await registry.assignments.change({ ...assignment, processServer: { hostId, addresses } });
  }
}
