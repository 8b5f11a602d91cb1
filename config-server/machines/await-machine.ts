// A machine whose mobility service has just enrolled is known with its first heartbeat: worth a short wait.
import { setTimeout } from 'node:timers/promises';
import { limits } from '../../core/limits.ts';
import type { Registry } from '../registry.ts';

const pollMs = 50;

/** Resolves when the machine is known, or is not to be expected. */
export async function awaitMachine({ machines, hosts }: Registry, nameOrId: string): Promise<void> {
  const deadline = performance.now() + limits.machineAwaitedMs;
  const isExpected = (): boolean =>
    hosts.list().some(({ role, name }) => role === 'mobility' && name === nameOrId);
  const isKnown = (): boolean => machines.find(nameOrId, (source) => hosts.get(source) !== null) !== null;
  while (!isKnown() && isExpected() && performance.now() < deadline) await setTimeout(pollMs);
}
