// The master target as a program: from options to a running daemon, until the signal aborts.
import { loadConfig } from '../core/config.ts';
import { letHeapGrow } from '../core/heap-growth.ts';
import { createLog } from '../core/log.ts';
import { readVersion } from '../core/version.ts';
import { defaultPlaces, startDaemon } from './daemon.ts';

/** Paths are absolute. */
export interface MasterTargetOptions {
  data: string;
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
  const places = { ...defaultPlaces(options.data), ...definedPlaces(options) };
  const config = loadConfig({ file: options.config ?? null, environment: process.env, log: createLog() });
  const log = createLog(config.logLevel);
  const { data, configServer, passphraseFile, name } = options;
  const daemon = await startDaemon({
    data,
    ...places,
    config,
    log,
    version: readVersion(),
    ...(configServer === undefined ? {} : { configServer }),
    ...(passphraseFile === undefined ? {} : { passphraseFile }),
    ...(name === undefined ? {} : { name }),
  });
  log.info('started', { data: options.data, retention: places.retention, control: places.control });
  options.onReady({ control: places.control });
  await aborted(signal);
  log.info('stopping');
  await daemon.stop();
  log.info('stopped');
}

function definedPlaces({ retention, replicas, control }: MasterTargetOptions): {
  retention?: string;
  replicas?: string;
  control?: string;
} {
  return {
    ...(retention === undefined ? {} : { retention }),
    ...(replicas === undefined ? {} : { replicas }),
    ...(control === undefined ? {} : { control }),
  };
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
