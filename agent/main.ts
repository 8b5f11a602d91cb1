// The master target as a program: from options to a running daemon, until the signal aborts.
import { aborted } from '../core/daemon-life.ts';
import { placeOf, readDaemonConfig } from '../core/daemon-config.ts';
import { letHeapGrow } from '../core/heap-growth.ts';
import { usualControl } from '../core/usual-places.ts';
import { readVersion } from '../core/version.ts';
import { defaultPlaces, startDaemon } from './daemon.ts';
import { warnOfChecks } from './prerequisites/warn-at-start.ts';

/** Paths are absolute. */
export interface MasterTargetOptions {
  data?: string;
  retention?: string;
  replicas?: string;
  control?: string;
  config?: string;
  /** `HOST:PORT`; without it the master target runs alone. */
  configServer?: string;
  /** Needed until this host has enrolled. */
  passphraseFile?: string;
  /** What people call this host; its host name when left out. */
  name?: string;
  onReady(ready: { control: string }): void;
}

/** Resolves after a clean stop; rejects when the daemon cannot start. */
export async function start(options: MasterTargetOptions, signal: AbortSignal): Promise<void> {
  letHeapGrow();
  const { config, log, data, installed, configServer } = readDaemonConfig({
    role: 'master-target',
    ...options,
  });
  const usual = defaultPlaces(data);
  const places = {
    retention: options.retention ?? placeOf(config.retentionVolume) ?? usual.retention,
    replicas: options.replicas ?? placeOf(config.replicaDirectory) ?? usual.replicas,
    control: options.control ?? (installed ? usualControl : usual.control),
  };
  const { passphraseFile, name } = options;
  const daemon = await startDaemon({
    data,
    ...places,
    config,
    log,
    version: readVersion(),
    ...(configServer === null ? {} : { configServer }),
    ...(passphraseFile === undefined ? {} : { passphraseFile }),
    ...(name === undefined ? {} : { name }),
  });
  log.info('started', { data, retention: places.retention, control: places.control });
  options.onReady({ control: places.control });
  if (config.checkAtStart) {
    const where = { data, retention: places.retention, replicas: places.replicas };
    const file = options.config ?? null;
    void warnOfChecks({ ...where, config: file, environment: process.env, log, offline: false });
  }
  await aborted(signal);
  log.info('stopping');
  await daemon.stop();
  log.info('stopped');
}
