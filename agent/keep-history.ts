// The janitor of a daemon: what is asked of every machine at each look, by its policy and the space there is.
import type { Clock } from '../core/clock.ts';
import type { Config } from '../core/config.ts';
import { toHomewardError } from '../core/errors.ts';
import { giveBack } from '../core/give-back.ts';
import type { Log } from '../core/log.ts';
import type { Chores } from './chores.ts';
import type { Machine } from './machine.ts';
import type { Machines } from './machines.ts';
import type { StepThread } from './replica/step-thread.ts';
import { Janitor } from './retention/janitor.ts';
import { ordersFor, readVolume } from './retention/orders.ts';
import type { Outlook } from './retention/outlook.ts';

export interface HistoryKeeping {
  retention: string;
  config: Config;
  clock: Clock;
  log: Log;
  machines: Machines;
  work: StepThread;
  chores: Chores;
  outlook: Outlook;
  /** Filled with the machines that get no further segment for now. */
  noRoom: Set<string>;
}

const lookMs = 1000;

export function janitorOf(keeping: HistoryKeeping): Janitor<Machine> {
  const { retention, config, clock, log, machines, work, chores, outlook, noRoom } = keeping;
  return new Janitor<Machine>({
    machines: () => machines.list(),
    orders: (all, now) => {
      for (const machine of all) {
        machine.noteRates(now);
        machines.damage.save(machine);
      }
      const volume = readVolume(retention, config.retentionReserveBytes);
      outlook.look(all, volume, now);
      const orders = ordersFor({ machines: all, config, volume, now });
      noRoom.clear();
      for (const { space } of orders) if (!space.accept) noRoom.add(space.id);
      return orders.map(({ order }) => order);
    },
    afterwards: (machine) => chores.look(machine),
    rests: () => {
      giveBack().catch((error: unknown) => log.warn('memory-kept', { error: toHomewardError(error) }));
    },
    endWork: () => work.close(),
    clock,
    log,
    intervalMs: lookMs,
  });
}
