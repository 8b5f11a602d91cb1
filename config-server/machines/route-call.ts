// Which host serves a call of an operator: the machine's source for tags and resyncs, its master target for
// all else.
import { HomewardError } from '../../core/errors.ts';
import type { Registry } from '../registry.ts';
import { machineStatuses } from './fleet.ts';

export interface RoutedCall {
  method: string;
  /** Without the query: `/v1/…`. */
  path: string;
  /** What the body says of the machine, or null. */
  machine: string | null;
}

/** What is asked of the master target of the machine that the body names. */
const ofTargets = new Set(['views', 'recoveries', 'recovery-plans', 'hand-overs', 'hand-over-plans']);

/** One host; or all master targets, for what may be at any of them. Throws 'no-such-machine' …. */
export function hostsForCall(registry: Registry, { method, path, machine }: RoutedCall): string[] {
  const [, , room, name = '', what] = path.split('/').map(decode);
  if (room === 'machines' || (room === 'ingests' && method === 'DELETE')) {
    if (what === 'resync') return [resyncedBy(registry, name)];
    return [what === 'tags' ? sourceOf(registry, name) : targetOf(registry, name)];
  }
  if (room === 'views' && method !== 'POST') return ensureSome(masterTargets(registry));
  if (room === 'ingests') return [onlyTarget(registry)];
  if (ofTargets.has(room ?? '')) return [targetOf(registry, machine ?? '')];
  throw new HomewardError('not-in-this-version', `there is no ${method} ${path}`);
}

/** A part that is no sound encoding is no name of anything either. */
function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/**
 * The machine of a call for a tag that its source takes, or null. Throws 'not-assigned' when it is not
 * protected.
 */
export function taggedMachine(
  registry: Registry,
  path: string,
): { id: string; name: string; masterTarget: string } | null {
  const [, , room, name = '', what] = path.split('/').map(decode);
  const machine = room === 'machines' && what === 'tags' ? findKnown(registry, name) : null;
  const assignment = machine === null ? null : registry.assignments.get(machine.id);
  if (machine === null || assignment === null) return null;
  if (assignment.ended)
    throw new HomewardError(
      'not-assigned',
      `${machine.name} is not protected any more: nothing is recorded`,
      {
        hint: `Protect it again with \`homeward protect ${machine.name}\`.`,
      },
    );
  return { id: machine.id, name: machine.name, masterTarget: assignment.masterTarget };
}

/** A machine that does not come over the chain is tagged where it is numbered. */
const sourceOf = (registry: Registry, nameOrId: string): string =>
  writingSource(registry, nameOrId) ?? targetOf(registry, nameOrId);

/** The source whose writes count; null where there is none, or the machine was handed over. */
function writingSource(registry: Registry, nameOrId: string): string | null {
  const machine = findKnown(registry, nameOrId);
  const assignment = machine === null ? null : registry.assignments.get(machine.id);
  if (machine === null || assignment === null || assignment.ended) return null;
  const reported = registry.presence.get(assignment.masterTarget)?.heartbeat.target?.machines ?? [];
  const isHandedOver = reported.some(({ id, path }) => id === machine.id && path === 'ingest');
  return isHandedOver ? null : machine.source;
}

/** Content can be sent again only by who has it. */
function resyncedBy(registry: Registry, nameOrId: string): string {
  const source = writingSource(registry, nameOrId);
  if (source !== null) return source;
  targetOf(registry, nameOrId); // throws where there is no such machine
  throw new HomewardError('not-assigned', `no source is assigned to ${nameOrId} that could send it again`, {
    hint: 'What is damaged of a machine with direct ingest ends with the next write to it.',
  });
}

/** The one that it is or was assigned to, else the one that reports it, else the only one there is. */
function targetOf(registry: Registry, nameOrId: string): string {
  const machine = findKnown(registry, nameOrId);
  const assignment = machine === null ? null : registry.assignments.get(machine.id);
  if (assignment !== null) return assignment.masterTarget;
  const id = machine?.id ?? nameOrId;
  const reporting = masterTargets(registry).filter((host) => reports(registry, host, id));
  const [found, another] = reporting;
  if (found !== undefined && another === undefined) return found;
  if (another !== undefined) {
    throw new HomewardError('conflict', `several master targets have a machine "${nameOrId}"`, {
      hint: 'Name it by its id; `homeward status` lists them.',
    });
  }
  if (machine !== null) {
    throw new HomewardError('no-points', `the machine ${machine.name} is not protected`, {
      hint: `Protect it first: \`homeward protect ${machine.name}\`.`,
    });
  }
  const names = machineStatuses(registry).map(({ name }) => name);
  if (names.length === 0 && masterTargets(registry).length === 1) return onlyTarget(registry);
  throw new HomewardError('no-such-machine', `no machine is called "${nameOrId}"`);
}

const findKnown = ({ machines, hosts }: Registry, nameOrId: string): ReturnType<typeof machines.find> =>
  machines.find(nameOrId, (source) => hosts.get(source) !== null);

const masterTargets = ({ hosts }: Registry): string[] =>
  hosts
    .list()
    .filter(({ role }) => role === 'master-target')
    .map(({ id }) => id);

function reports({ presence }: Registry, host: string, nameOrId: string): boolean {
  const machines = presence.get(host)?.heartbeat.target?.machines ?? [];
  return machines.some(({ id, name }) => id === nameOrId || name === nameOrId);
}

function ensureSome(hosts: string[]): string[] {
  if (hosts.length > 0) return hosts;
  throw new HomewardError('no-such-host', 'no master target has registered');
}

function onlyTarget(registry: Registry): string {
  const [only, another] = ensureSome(masterTargets(registry));
  if (only !== undefined && another === undefined) return only;
  throw new HomewardError('conflict', 'there are several master targets', {
    hint: 'Ask the one that is meant on its own host, with --control.',
  });
}
