// What process servers say of their spools, and what has changed in that as events.
import type { SpoolReport } from '../../core/registration/messages.ts';
import type { Registry } from '../registry.ts';
import type { NewEvent } from '../state/event-log.ts';

type Seen = Pick<SpoolReport, 'room' | 'problems'>;

export class SpoolWatch {
  /** By host and machine. */
  readonly #seen = new Map<string, Seen>();

  /** What is seen for the first time is no change, but a spool that is full, or not in order, is said. */
  look({ hosts, presence, machines }: Registry): NewEvent[] {
    const servers = hosts.list().filter(({ role }) => role === 'process-server');
    return servers.flatMap(({ id: host }) => {
      const spools = presence.get(host)?.heartbeat.spools ?? [];
      return spools.flatMap((spool) => {
        const key = `${host} ${spool.machine}`;
        const before = this.#seen.get(key) ?? { room: 'ok', problems: [] };
        this.#seen.set(key, { room: spool.room, problems: spool.problems });
        const name = machines.list().find(({ id }) => id === spool.machine)?.name ?? spool.machine;
        return changes(name, before, spool).map((event) => ({ ...event, host, machine: spool.machine }));
      });
    });
  }
}

function changes(name: string, before: Seen, { room, problems }: SpoolReport): NewEvent[] {
  const events: NewEvent[] = problems
    .filter((problem) => !before.problems.includes(problem))
    .map((problem) => ({
      kind: 'spool-problem',
      severity: 'warning',
      message: `the spool of ${name}: ${problem}`,
    }));
  if (room === 'full' && before.room !== 'full') {
    const message = `the spool of ${name} is full: its source keeps the backlog itself`;
    events.push({ kind: 'spool-full', severity: 'warning', message });
  }
  if (room !== 'full' && before.room === 'full') {
    events.push({
      kind: 'spool-room',
      severity: 'info',
      message: `the spool of ${name} takes records again`,
    });
  }
  return events;
}
