// The master target daemon: everything in the order in which it starts, and the other way round when it
// stops.
import { join, resolve } from 'node:path';
import { makeDataDirectory, stopAll, type Stops } from '../core/daemon-life.ts';
import { hostClock, type Clock } from '../core/clock.ts';
import type { Config } from '../core/config.ts';
import { HomewardError, toHomewardError } from '../core/errors.ts';
import { BackgroundMerger } from '../core/extents/background-merger.ts';
import { acquireLock, type Lock } from '../core/lock.ts';
import type { Log } from '../core/log.ts';
import { formatListen } from '../core/names.ts';
import { ReceivePool } from '../core/nbd/receive-pool.ts';
import type { TargetReport } from '../core/registration/messages.ts';
import { checkVolume, ensureVolume, ensureVolumeDirectory } from '../core/volume-identity.ts';
import { AssignedMachines } from './assigned-machines.ts';
import { Chores } from './chores.ts';
import { startControlServer } from './control/server.ts';
import { HandOvers } from './hand-overs.ts';
import { Ingests } from './ingest/ingests.ts';
import { janitorOf } from './keep-history.ts';
import { Machines } from './machines.ts';
import { MasterTarget } from './master-target.ts';
import { restoreViews } from './open-view.ts';
import { Views } from './recovery/views.ts';
import { TargetLink } from './registration/target-link.ts';
import { StepThread } from './replica/step-thread.ts';
import { Outlook } from './retention/outlook.ts';
import { watchDisks } from './watch-disks.ts';

export interface DaemonOptions {
  data: string;
  retention: string;
  replicas: string;
  control: string;
  config: Config;
  log: Log;
  version: string;
  /** `HOST:PORT`; left out, the master target runs alone. */
  configServer?: string;
  passphraseFile?: string;
  /** What people call this host. */
  name?: string;
}

/** Resolves when the daemon serves; `stop` resolves when everything acknowledged is durable and closed. */
export async function startDaemon(options: DaemonOptions): Promise<{ stop(): Promise<void> }> {
  const { data, retention, replicas, config, log } = options;
  const stops: Stops = [];
  try {
    const clock = hostClock((movedUs) => log.warn('clock-stepped', { movedUs }));
    makeDataDirectory(data);
    hold(stops, acquireLock(data, 'master target'));
    takeVolumes(stops, options);

    const merger = new BackgroundMerger(log);
    stops.push(() => merger.close());
    const work = new StepThread();
    stops.push(() => work.close());
    const noRoom = new Set<string>();
    const machines = await Machines.open({ retention, replicas, config, clock, log, merger, work, noRoom });
    stops.push(() => machines.close());

    const views = new Views({ data, clock, log, logLevel: config.logLevel });
    stops.push(() => views.stop());
    await restoreViews({ data, config, clock, machines, views });
    const chores = new Chores({ work, log });
    stops.push(() => chores.stop());
    const outlook = new Outlook({ config, log });
    const janitor = janitorOf({ retention, config, clock, log, machines, work, chores, outlook, noRoom });
    stops.push(() => janitor.stop());
    janitor.start();
    stops.push(watchDisks(machines, log));

    const ingests = new Ingests({ data, log, pool: new ReceivePool(config.unsyncedBytes) });
    stops.push(() => ingests.stop());
    const assigned = new AssignedMachines({ data, machines, clock, log });
    stops.push(() => assigned.stop());
    const handOvers = new HandOvers({
      ...{ machines, ingests, views, assigned, janitor, chores, clock, log },
      tlsDirectory: config.nbdTlsDirectory,
      openIngest: (machine, listen) => service.reopenIngest(machine, listen),
    });
    stops.push(() => handOvers.stop());
    await handOvers.fence();
    const link = linkOf(options, clock, assigned, () => service.targetReport());
    const service: MasterTarget = new MasterTarget({
      version: options.version,
      ...{ data, retention, replicas, config, clock, log },
      ...{ machines, ingests, views, janitor, outlook, assigned, handOvers, link },
    });
    await reopenIngests(service, machines, ingests, log);
    handOvers.resume();
    const control = await startControlServer({ path: options.control, service, log });
    stops.push(() => control.close());
    if (link !== null) stops.push(() => link.stop());
    link?.start();
  } catch (error) {
    await stopAll(stops);
    throw error;
  }
  return { stop: () => stopAll(stops) };
}

/** One that cannot be opened does not stop the others. */
async function reopenIngests(
  service: MasterTarget,
  machines: Machines,
  ingests: Ingests,
  log: Log,
): Promise<void> {
  for (const { machine, listen } of [...ingests.entries]) {
    try {
      await service.reopenIngest(machines.get(machine), formatListen(listen));
    } catch (error) {
      log.error('ingest-not-opened', { machine, error: toHomewardError(error) });
    }
  }
}

function linkOf(
  { data, configServer, passphraseFile, name, control, log }: DaemonOptions,
  clock: Clock,
  assigned: AssignedMachines,
  report: () => Promise<TargetReport>,
): TargetLink | null {
  if (configServer === undefined) return null;
  return new TargetLink({
    data,
    configServer,
    passphraseFile: passphraseFile ?? null,
    ...(name === undefined ? {} : { name }),
    addresses: [], // it opens no port that others are to reach
    control,
    clock,
    log,
    report,
    enrolled: (identity) => assigned.start(identity),
    assignments: (signed) => assigned.accept(signed),
  });
}

/** Where a daemon keeps what it is not told a place for. */
export const defaultPlaces = (data: string): { retention: string; replicas: string; control: string } => ({
  retention: join(data, 'retention'),
  replicas: join(data, 'replicas'),
  control: join(data, 'control.sock'),
});

/**
 * In this order: 1 both are looked at, since nothing may be created where a volume is not mounted; 2 both are
 * locked; 3 both are recorded as ours, so that a start that is refused leaves no record.
 */
function takeVolumes(stops: Stops, { data, retention, replicas }: DaemonOptions): void {
  const volumes = [
    { data, directory: retention, kind: 'retention' },
    { data, directory: replicas, kind: 'replicas' },
  ] as const;
  for (const volume of volumes) checkVolume(volume);
  if (resolve(retention) === resolve(replicas))
    throw new HomewardError(
      'not-a-volume',
      `${retention} cannot be both the retention and the replicas volume`,
    );
  for (const { directory } of volumes) {
    ensureVolumeDirectory(directory);
    hold(stops, acquireLock(directory, 'master target'));
  }
  for (const volume of volumes) ensureVolume(volume);
}

function hold(stops: Stops, lock: Lock): void {
  stops.push(() => lock.release());
}
