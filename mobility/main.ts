// The mobility service as a program: from options to a running daemon, until the signal aborts.
import { aborted } from '../core/daemon-life.ts';
import { readDaemonConfig, serverOf } from '../core/daemon-config.ts';
import { letHeapGrow } from '../core/heap-growth.ts';
import { checkDiskName, checkMachineName } from '../core/names.ts';
import { readVersion } from '../core/version.ts';
import { configuredMachine } from './configured-machine.ts';
import { startDaemon } from './daemon.ts';
import type { MachineDisk } from './machine.ts';
import { checkOrder, type ScanOrder } from './scan/open-scans.ts';

/** Paths are absolute. */
export interface MobilityOptions {
  /** Left out: that of the configuration file, or the usual one. */
  data?: string;
  /** Left out: that of the configuration file. */
  machine?: NamedMachine;
  /** `HOST:PORT`; left out: that of the configuration file. */
  configServer?: string;
  /** Needed until the host has enrolled. */
  passphraseFile?: string;
  /** Runs around application-consistent tags. */
  customScript?: string;
  config?: string;
  /** `machine` is its UUID. */
  onReady(ready: { listen: string | null; machine: string; name: string }): void;
}

export interface NamedMachine {
  machine: string;
  disks: readonly MachineDisk[];
  /** Disks that are scanned. */
  scan?: ScanOrder;
  /** `unix:PATH` or `tcp:HOST:PORT`, where `disks` are served over NBD; null when there are none. */
  listen: string | null;
}

/** Resolves after a clean stop; rejects when the daemon cannot start. */
export async function start(options: MobilityOptions, signal: AbortSignal): Promise<void> {
  letHeapGrow();
  const told = readDaemonConfig({ role: 'mobility', ...options });
  const { config, log, data } = told;
  const configServer = serverOf(told);
  const { machine, disks, listen, scan } = checked(options.machine ?? configuredMachine(config));
  const daemon = await startDaemon({
    data,
    machine,
    disks,
    scan: scan ?? null,
    listen,
    configServer,
    passphraseFile: options.passphraseFile ?? null,
    customScript: options.customScript ?? null,
    config,
    log,
    version: readVersion(),
  });
  log.info('started', { data, machine, listen: daemon.listen });
  options.onReady({ listen: daemon.listen, machine: daemon.machine, name: machine });
  await aborted(signal);
  log.info('stopping');
  await daemon.stop();
  log.info('stopped');
}

function checked(named: NamedMachine): NamedMachine {
  checkMachineName(named.machine);
  for (const { name } of [...named.disks, ...(named.scan?.disks ?? [])]) checkDiskName(name);
  if (named.scan !== undefined) checkOrder(named.scan);
  return named;
}
