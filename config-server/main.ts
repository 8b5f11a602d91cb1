// The configuration server as a program: from options to a running daemon, until the signal aborts.
import { aborted } from '../core/daemon-life.ts';
import { readDaemonConfig } from '../core/daemon-config.ts';
import { readVersion } from '../core/version.ts';
import { startDaemon, type RunningServer } from './daemon.ts';

/** Paths are absolute. */
export interface ConfigServerOptions {
  /** Left out: that of the configuration file, or the usual one. */
  data?: string | undefined;
  config?: string | undefined;
  /** `HOST:PORT`; left out: 0.0.0.0:443 where it may, else 8443. Port 0 takes any that is free. */
  listen?: string | undefined;
  /** Host ids that need nobody's approval: those of an all-in-one. */
  trusted?: readonly string[] | undefined;
  /** Another place for the operator's file, beside DATA/operator.json. */
  operatorFile?: string | undefined;
  /** The home directory of the caller, for an operator's file of its own. */
  home?: string | null | undefined;
  onReady(ready: ConfigServerReady): void;
}

export type ConfigServerReady = Omit<RunningServer, 'stop'>;

/** Resolves after a clean stop; rejects when the daemon cannot start. */
export async function start(options: ConfigServerOptions, signal: AbortSignal): Promise<void> {
  const { trusted = [], operatorFile = null, home = null } = options;
  const { config, log, data, installed } = readDaemonConfig({ role: 'config-server', ...options });
  const listen = options.listen ?? configuredPlace(config.configServerPort);
  const daemon = await startDaemon({
    ...{ data, listen, log },
    // A service has no caller.
    operator: { file: operatorFile, home: installed ? null : home },
    trusted: new Set(trusted),
    version: readVersion(),
  });
  const { stop, ...ready } = daemon;
  log.info('started', { data, listening: ready.listening });
  options.onReady(ready);
  await aborted(signal);
  log.info('stopping');
  await stop();
  log.info('stopped');
}

/** The usual port is not insisted on: where it may not be had there is another. */
const usualPort = 443;
const configuredPlace = (port: number): string | null => (port === usualPort ? null : `0.0.0.0:${port}`);
