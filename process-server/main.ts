// The process server as a program: from options to a running daemon, until the signal aborts.
import { aborted } from '../core/daemon-life.ts';
import { natNames, readDaemonConfig, serverOf } from '../core/daemon-config.ts';
import { HomewardError, toHomewardError } from '../core/errors.ts';
import type { Address } from '../core/identity/address.ts';
import { letHeapGrow } from '../core/heap-growth.ts';
import { readVersion } from '../core/version.ts';
import { startDaemon, type Daemon, type DaemonOptions } from './daemon.ts';

/** Paths are absolute. */
export interface ProcessServerOptions {
  /** Left out: that of the configuration file, or the usual one. */
  data?: string;
  /** HOST:PORT; all addresses and port 9443 when left out. Port 0 takes any that is free. */
  listen?: string;
  /** HOST:PORT; left out: that of the configuration file. */
  configServer?: string;
  /** Needed for the first start. */
  passphraseFile?: string;
  /** HOST[:PORT] each, where others reach this host. */
  advertise?: readonly string[];
  /** As settings spell them. */
  spoolBytes?: string;
  batchResync?: string | number;
  config?: string;
  onReady(ready: { address: string; addresses: string[] }): void;
}

const defaultListen = '0.0.0.0:9443';

/** Resolves after a clean stop; rejects when the daemon cannot start. */
export async function start(options: ProcessServerOptions, signal: AbortSignal): Promise<void> {
  letHeapGrow();
  const listen = parseListenAddress(options.listen ?? defaultListen);
  const told = readDaemonConfig({
    role: 'process-server',
    ...options,
    settings: {
      ...(options.spoolBytes === undefined ? {} : { SpoolBytes: options.spoolBytes }),
      ...(options.batchResync === undefined ? {} : { BatchResync: String(options.batchResync) }),
    },
  });
  const { config, log, data } = told;
  const configServer = serverOf(told);
  const { passphraseFile = null, advertise = natNames(config) } = options;
  const version = readVersion();
  const stopped = aborted(signal);
  const daemon = await startUnlessStopped({
    data,
    listen,
    configServer,
    passphraseFile,
    advertise,
    config,
    log,
    version,
    signal,
  });
  if (daemon === null) return;
  const { address, addresses } = daemon;
  log.info('started', { data, address });
  options.onReady({ address, addresses });
  await stopped;
  log.info('stopping');
  await daemon.stop();
  log.info('stopped');
}

/** Null when it was stopped while it waited for an operator's yes: that is a clean stop too. */
async function startUnlessStopped(options: DaemonOptions): Promise<Daemon | null> {
  try {
    return await startDaemon(options);
  } catch (error) {
    if (!options.signal.aborted || toHomewardError(error).code !== 'interrupted') throw error;
    options.log.info('stopped');
    return null;
  }
}

/** HOST:PORT, where the port may be 0. Throws 'bad-listen'. */
function parseListenAddress(text: string): Address {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined || port > 65_535) {
    throw new HomewardError(
      'bad-listen',
      `${JSON.stringify(text.slice(0, 150))} is not an address to listen on`,
      {
        hint: 'Give HOST:PORT, for example 0.0.0.0:9443; IPv6 in brackets.',
      },
    );
  }
  return { host, port };
}
