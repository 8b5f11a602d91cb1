// The master target daemon: everything in the order in which it starts, and the other way round when it
// stops.
import { join } from 'node:path';
import { hostClock } from '../core/clock.ts';
import type { Config } from '../core/config.ts';
import { ensureDirectorySync } from '../core/directory.ts';
import { errnoOf, HomewardError, toHomewardError } from '../core/errors.ts';
import { BackgroundMerger } from '../core/extents/background-merger.ts';
import { acquireLock, type Lock } from '../core/lock.ts';
import type { Log } from '../core/log.ts';
import { formatListen } from '../core/names.ts';
import { ReceivePool } from '../core/nbd/receive-pool.ts';
import { ensureVolume } from '../core/volume-identity.ts';
import { startControlServer } from './control/server.ts';
import { Ingests } from './ingest/ingests.ts';
import { Machines } from './machines.ts';
import { MasterTarget } from './master-target.ts';
import { Views } from './recovery/views.ts';
import { Applier } from './replica/applier.ts';
import { Janitor } from './retention/janitor.ts';

export interface DaemonOptions {
  data: string;
  retention: string;
  replicas: string;
  control: string;
  config: Config;
  log: Log;
  version: string;
}

const janitorMs = 1000;

/** Resolves when the daemon serves; `stop` resolves when everything acknowledged is durable and closed. */
export async function startDaemon(options: DaemonOptions): Promise<{ stop(): Promise<void> }> {
  const { data, retention, replicas, config, log } = options;
  const stops: (() => Promise<void> | void)[] = [];
  try {
    const clock = hostClock((movedUs) => log.warn('clock-stepped', { movedUs }));
    makeData(data);
    hold(stops, acquireLock(data, 'master target'));
    // Identity before lock: nothing may be created where a volume is not mounted.
    ensureVolume({ data, directory: retention, kind: 'retention' });
    ensureVolume({ data, directory: replicas, kind: 'replicas' });
    hold(stops, acquireLock(retention, 'master target'));

    const merger = new BackgroundMerger(log);
    stops.push(() => merger.close());
    const machines = await Machines.open({ retention, replicas, config, clock, log, merger });
    stops.push(() => machines.close());

    const views = new Views({ clock, log, logLevel: config.logLevel });
    stops.push(() => views.closeAll());
    const janitor = new Janitor({
      machines: () => machines.list(),
      applier: new Applier(),
      policy: config,
      clock,
      log,
      intervalMs: janitorMs,
    });
    stops.push(() => janitor.stop());
    janitor.start();

    const ingests = new Ingests({ data, log, pool: new ReceivePool(config.unsyncedBytes) });
    stops.push(() => ingests.stop());
    const service = new MasterTarget({
      version: options.version,
      retention,
      replicas,
      config,
      clock,
      log,
      machines,
      ingests,
      views,
      janitor,
    });
    for (const { machine, listen } of [...ingests.entries]) {
      try {
        await service.reopenIngest(machines.get(machine), formatListen(listen));
      } catch (error) {
        log.error('ingest-not-opened', { machine, error: toHomewardError(error) });
      }
    }

    const control = await startControlServer({ path: options.control, service, log });
    stops.push(() => control.close());
  } catch (error) {
    await stopAll(stops);
    throw error;
  }
  return { stop: () => stopAll(stops) };
}

/** Where a daemon keeps what it is not told a place for. */
export const defaultPlaces = (data: string): { retention: string; replicas: string; control: string } => ({
  retention: join(data, 'retention'),
  replicas: join(data, 'replicas'),
  control: join(data, 'control.sock'),
});

function makeData(data: string): void {
  try {
    ensureDirectorySync(data);
  } catch (error) {
    if (errnoOf(error) !== 'ENOTDIR') throw error;
    throw new HomewardError('not-a-volume', `${data} is not a directory`, {
      cause: error,
      hint: 'Give --data a directory.',
    });
  }
}

function hold(stops: (() => void)[], lock: Lock): void {
  stops.push(() => lock.release());
}

async function stopAll(stops: (() => Promise<void> | void)[]): Promise<void> {
  for (const stop of stops.splice(0).reverse()) await stop();
}
