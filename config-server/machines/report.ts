// The machines as operators see them: their disks, their source, and whom they are assigned to.
import { formatTime } from '../../core/clock.ts';
import type { AssignedSeed } from '../../core/identity/assignment.ts';
import { microseconds } from '../../core/units.ts';
import type { Registry } from '../registry.ts';
import { machineStatuses } from './fleet.ts';
import type { KnownMachine } from './machine-list.ts';

export interface NamedHost {
  id: string;
  name: string;
}

/** What belongs to a protection is null where there is none. */
export interface MachineReport {
  id: string;
  name: string;
  source: NamedHost;
  disks: KnownMachine['disks'];
  state: string;
  protected: boolean;
  epoch: number | null;
  masterTarget: NamedHost | null;
  processServer: NamedHost | null;
  seeds: AssignedSeed[];
  windowMs: number | null;
  consistencyIntervalMs: number | null;
  /** RFC 3339. */
  firstSeen: string;
}

export function listMachines(registry: Registry): MachineReport[] {
  const states = new Map(machineStatuses(registry).map(({ id, state }) => [id, state]));
  return registry.machines.list().map((machine) => {
    const assignment = registry.assignments.get(machine.id);
    const active = assignment === null || assignment.ended ? null : assignment;
    const named = (id: string): NamedHost => ({ id, name: registry.hosts.seen(id)?.name ?? id });
    return {
      id: machine.id,
      name: machine.name,
      source: named(machine.source),
      disks: machine.disks,
      state: states.get(machine.id) ?? 'waiting',
      protected: active !== null,
      epoch: assignment?.epoch ?? null,
      masterTarget: active === null ? null : named(active.masterTarget),
      processServer: active === null ? null : named(active.processServer.hostId),
      seeds: active?.seeds ?? [],
      windowMs: active?.windowMs ?? null,
      consistencyIntervalMs: active?.consistencyIntervalMs ?? null,
      firstSeen: formatTime(microseconds(machine.firstSeen)),
    };
  });
}
