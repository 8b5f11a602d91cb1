// The mobility service as a program: from options to a running daemon, until the signal aborts.
import { loadConfig } from '../core/config.ts';
import { letHeapGrow } from '../core/heap-growth.ts';
import { createLog } from '../core/log.ts';
import { checkDiskName, checkMachineName } from '../core/names.ts';
import { readVersion } from '../core/version.ts';
import { startDaemon } from './daemon.ts';
import type { MachineDisk } from './machine.ts';
import { checkOrder, type ScanOrder } from './scan/open-scans.ts';

/** Paths are absolute. */
export interface MobilityOptions {
  data: string;
  machine: string;
  disks: readonly MachineDisk[];
  /** Disks that are scanned. */
  scan?: ScanOrder;
  /** `unix:PATH` or `tcp:HOST:PORT`, where `disks` are served over NBD; null when there are none. */
  listen: string | null;
  /** `HOST:PORT`. */
  configServer: string;
  /** Needed until the host has enrolled. */
  passphraseFile?: string;
  /** Runs around application-consistent tags. */
  customScript?: string;
  config?: string;
  /** `machine` is its UUID. */
  onReady(ready: { listen: string | null; machine: string }): void;
}

/** Resolves after a clean stop; rejects when the daemon cannot start. */
export async function start(options: MobilityOptions, signal: AbortSignal): Promise<void> {
  letHeapGrow();
  checkMachineName(options.machine);
  for (const { name } of [...options.disks, ...(options.scan?.disks ?? [])]) checkDiskName(name);
  if (options.scan !== undefined) checkOrder(options.scan);
  const config = loadConfig({ file: options.config ?? null, environment: process.env, log: createLog() });
  const log = createLog(config.logLevel);
  const daemon = await startDaemon({
    data: options.data,
    machine: options.machine,
    disks: options.disks,
    scan: options.scan ?? null,
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
