// Protection: which hosts a machine gets, from what was asked, what there is and what it had before.
import { HomewardError } from '../../core/errors.ts';
import type { Assignment, AssignedSeed } from '../../core/identity/assignment.ts';
import type { HostRole } from '../../core/identity/host-identity.ts';
import { checkSeeds, type SeedCheck } from './check-seeds.ts';
import type { KnownHost } from '../hosts/host-list.ts';
import type { Registry } from '../registry.ts';
import { awaitMachine } from './await-machine.ts';
import type { KnownMachine } from './machine-list.ts';

/** What is left out stays as it is, or is chosen. */
export interface ProtectRequest {
  machine: string;
  /** Name or id. */
  masterTarget?: string | undefined;
  processServer?: string | undefined;
  windowMs?: number | undefined;
  consistencyIntervalMs?: number | undefined;
  seeds?: AssignedSeed[] | undefined;
  /** Names; without them all disks. */
  disks?: string[] | undefined;
}

export interface ProtectReport {
  machine: string;
  id: string;
  epoch: number;
  source: string;
  masterTarget: { id: string; name: string };
  processServer: { id: string; name: string; addresses: string[] };
  disks: { name: string; size: number }[];
  /** With what the master target said of those that are new. */
  seeds: (AssignedSeed & Partial<SeedCheck>)[];
  windowMs: number;
  consistencyIntervalMs: number;
  ended: boolean;
  /** False when all this was so before. */
  changed: boolean;
}

const defaultWindowMs = 24 * 60 * 60 * 1000;
const defaultConsistencyIntervalMs = 5 * 60 * 1000;

/** The same again changes nothing; anything else is a new epoch. */
export async function protect(registry: Registry, request: ProtectRequest): Promise<ProtectReport> {
  await awaitMachine(registry, request.machine);
  const checks = await checkNewSeeds(registry, request);
  const done = await registry.turns.run(() => protectInTurn(registry, request));
  const seeds = done.seeds.map((seed) => ({ ...seed, ...checks.find(({ disk }) => disk === seed.disk) }));
  return { ...done, seeds };
}

/** Before anything is changed, and not in a turn: the master target may take a while. */
async function checkNewSeeds(registry: Registry, request: ProtectRequest): Promise<SeedCheck[]> {
  if (request.seeds === undefined || request.seeds.length === 0) return [];
  const machine = findMachine(registry, request.machine);
  const known = registry.assignments.get(machine.id);
  const before = known === null || known.ended ? null : known;
  const { masterTarget, disks, seeds } = planAssignment(registry, { request, machine, before });
  const has = JSON.stringify(before?.seeds ?? []);
  return has === JSON.stringify(seeds) ? [] : checkSeeds(registry, masterTarget, disks, seeds);
}

async function protectInTurn(registry: Registry, request: ProtectRequest): Promise<ProtectReport> {
  const machine = findMachine(registry, request.machine);
  const known = registry.assignments.get(machine.id);
  const before = known === null || known.ended ? null : known;
  const next = planAssignment(registry, { request, machine, before });
  if (before !== null && same(before, next)) return report(registry, before, false);
  const assignment = await registry.assignments.change(next);
  await registry.events.add({
    kind: before === null ? 'protected' : 'protection-changed',
    severity: 'info',
    host: assignment.source,
    machine: machine.id,
    message: `${machine.name} is protected, epoch ${assignment.epoch}`,
  });
  return report(registry, assignment, true);
}

export interface UnprotectReport {
  machine: string;
  id: string;
  changed: boolean;
}

/** Ends the protection; what the master target has of the machine stays. */
export function unprotect(registry: Registry, nameOrId: string): Promise<UnprotectReport> {
  return registry.turns.run(async () => {
    const machine = findMachine(registry, nameOrId);
    const before = registry.assignments.get(machine.id);
    const answer = { machine: machine.name, id: machine.id };
    if (before === null || before.ended) return { ...answer, changed: false };
    await registry.assignments.change({ ...before, ended: true });
    await registry.events.add({
      kind: 'unprotected',
      severity: 'info',
      host: machine.source,
      machine: machine.id,
      message: `${machine.name} is not protected any more`,
    });
    return { ...answer, changed: true };
  });
}

export function findMachine({ machines, hosts }: Registry, nameOrId: string): KnownMachine {
  const found = machines.find(nameOrId, (source) => hosts.get(source) !== null);
  if (found !== null) return found;
  throw new HomewardError('no-such-machine', `no machine is called "${nameOrId}"`, {
    hint: '`homeward machines` lists those whose mobility service has registered.',
  });
}

interface Plan {
  request: ProtectRequest;
  machine: KnownMachine;
  before: Assignment | null;
}

function planAssignment(registry: Registry, { request, machine, before }: Plan): Omit<Assignment, 'epoch'> {
  const masterTarget = chooseHost(registry, 'master-target', request.masterTarget, before?.masterTarget);
  const server = chooseHost(registry, 'process-server', request.processServer, before?.processServer.hostId);
  const addresses = addressesOf(registry, server);
  const disks = chooseDisks(machine, request.disks ?? before?.disks.map(({ name }) => name));
  const seeds = request.seeds ?? before?.seeds ?? [];
  for (const { disk } of seeds) {
    if (!disks.some(({ name }) => name === disk)) throw noSuchDisk(machine, disk);
  }
  return {
    machine: machine.id,
    name: machine.name,
    source: machine.source,
    masterTarget: masterTarget.id,
    processServer: { hostId: server.id, addresses },
    disks,
    seeds,
    windowMs: request.windowMs ?? before?.windowMs ?? defaultWindowMs,
    consistencyIntervalMs:
      request.consistencyIntervalMs ?? before?.consistencyIntervalMs ?? defaultConsistencyIntervalMs,
    ended: false,
  };
}

function addressesOf({ presence }: Registry, server: KnownHost): string[] {
  const addresses = presence.get(server.id)?.heartbeat.addresses ?? server.addresses;
  if (addresses.length > 0) return addresses;
  const message = `the process server ${server.name} has not said yet where it is reached`;
  throw new HomewardError('host-not-connected', message);
}

/** A disk that the machine does not have any more is left out unless it is asked for. */
function chooseDisks(machine: KnownMachine, names: string[] | undefined): { name: string; size: number }[] {
  for (const name of names ?? []) {
    if (!machine.disks.some((disk) => disk.name === name)) throw noSuchDisk(machine, name);
  }
  return machine.disks
    .filter(({ name }) => names === undefined || names.includes(name))
    .map(({ name, size }) => ({ name, size }));
}

const noSuchDisk = (machine: KnownMachine, disk: string): HomewardError =>
  new HomewardError('no-such-disk', `${machine.name} has no disk "${disk}"`, {
    hint: '`homeward machines` lists the disks of each machine.',
  });

/** The one that is named; else the one it had; else the only one. */
function chooseHost(
  { hosts }: Registry,
  role: HostRole,
  wanted: string | undefined,
  before: string | undefined,
): KnownHost {
  const there = hosts.list().filter((host) => host.role === role);
  const fitting =
    wanted === undefined
      ? [there.filter(({ id }) => id === before), there].find(({ length }) => length > 0)
      : there.filter(({ id, name }) => id === wanted || name === wanted);
  const [found, another] = fitting ?? [];
  const what = role.replace('-', ' ');
  if (found === undefined) {
    const which = wanted === undefined ? `no ${what} has registered` : `no ${what} is called "${wanted}"`;
    throw new HomewardError('no-such-host', which);
  }
  if (another === undefined) return found;
  const names = (fitting ?? []).map(({ name, id }) => `${name} (${id})`).join(', ');
  throw new HomewardError('conflict', `there are several: ${names}`, {
    hint: `Name one with --${role}, by its id where two have one name.`,
  });
}

/** But for the epoch; both are made of plain data with members in one order. */
function same({ epoch: _epoch, ...before }: Assignment, next: Omit<Assignment, 'epoch'>): boolean {
  const sorted = (value: object): string => JSON.stringify(Object.entries(value).toSorted(byName));
  return sorted(before) === sorted(next);
}

const byName = ([a]: [string, unknown], [b]: [string, unknown]): number => (a < b ? -1 : 1);

function report({ hosts }: Registry, assignment: Assignment, changed: boolean): ProtectReport {
  const { machine: id, name: machine, processServer, masterTarget, ...rest } = assignment;
  const nameOf = (hostId: string): string => hosts.seen(hostId)?.name ?? hostId;
  return {
    machine,
    id,
    ...rest,
    masterTarget: { id: masterTarget, name: nameOf(masterTarget) },
    processServer: {
      id: processServer.hostId,
      name: nameOf(processServer.hostId),
      addresses: processServer.addresses,
    },
    changed,
  };
}
