// The mobility service as a program: from options to a running daemon, until the signal aborts.
import { loadConfig } from '../core/config.ts';
import { createLog } from '../core/log.ts';
import { checkDiskName, checkMachineName } from '../core/names.ts';
import { readVersion } from '../core/version.ts';
import { startDaemon } from './daemon.ts';
import type { MachineDisk } from './machine.ts';

/** Paths are absolute. */
export interface MobilityOptions {
  data: string;
  machine: string;
  disks: readonly MachineDisk[];
  /** `unix:PATH` or `tcp:HOST:PORT`, where the disks are served over NBD. */
  listen: string;
  /** `HOST:PORT`. */
  configServer: string;
  /** Needed until the host has enrolled. */
  passphraseFile?: string;
  /** Runs around application-consistent tags. */
  customScript?: string;
  config?: string;
  /** `machine` is its UUID. */
  onReady(ready: { listen: string; machine: string }): void;
}

/** Resolves after a clean stop; rejects when the daemon cannot start. */
export async function start(options: MobilityOptions, signal: AbortSignal): Promise<void> {
  checkMachineName(options.machine);
  for (const { name } of options.disks) checkDiskName(name);
  const config = loadConfig({ file: options.config ?? null, environment: process.env, log: createLog() });
  const log = createLog(config.logLevel);
  const daemon = await startDaemon({
    data: options.data,
    machine: options.machine,
    disks: options.disks,
    listen: options.listen,
    configServer: options.configServer,
    passphraseFile: options.passphraseFile ?? null,
    customScript: options.customScript ?? null,
    config,
    log,
    version: readVersion(),
  });
  log.info('started', { data: options.data, machine: options.machine, listen: daemon.listen });
  options.onReady({ listen: daemon.listen, machine: daemon.machine });
  await aborted(signal);
  log.info('stopping');
  await daemon.stop();
  log.info('stopped');
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
