// What a daemon is told by its configuration file and the environment, where no flag says otherwise:
// settings, log, places.
import { loadConfig, type Config, type SettingKey } from './config.ts';
import { HomewardError } from './errors.ts';
import { formatAddress, parseAddress } from './identity/address.ts';
import { openLogFile } from './log-file.ts';
import { createLog, type Log } from './log.ts';
import { usualData, type DaemonRole } from './usual-places.ts';

/** Paths are absolute. */
export interface DaemonFlags {
  role: DaemonRole;
  /** Left out, the daemon is an installed one: the file or the usual place says where. */
  data?: string | undefined;
  config?: string | undefined;
  /** `HOST:PORT`. */
  configServer?: string | undefined;
  /** Flags that are settings by other names. */
  settings?: Partial<Record<SettingKey, string>>;
}

export interface DaemonConfig {
  config: Config;
  log: Log;
  data: string;
  /** Whether `data` is not by flag: then what people reach lies in the usual places, too. */
  installed: boolean;
  /** `HOST:PORT`; null to run alone. */
  configServer: string | null;
}

/** Throws 'usage' when nothing says where the data lies, and 'bad-config'. */
export function readDaemonConfig(
  { role, data, config: file, configServer, settings = {} }: DaemonFlags,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): DaemonConfig {
  if (data === undefined && file === undefined) throw new HomewardError('usage', '--data is missing');
  const config = loadConfig({ file: file ?? null, environment, flags: settings, log: createLog() });
  if (!config.useHttps) {
    throw new HomewardError('bad-config', 'UseHttps cannot be "no": hosts speak HTTPS with each other, only');
  }
  const named = config.dataDirectory === '' ? usualData(role) : config.dataDirectory;
  return {
    config,
    log: createLog(config.logLevel, config.logFile === '' ? undefined : openLogFile(config.logFile)),
    data: data ?? named,
    installed: data === undefined,
    configServer: configServer ?? configuredServer(config),
  };
}

/** For daemons that are nothing by themselves. */
export function serverOf({ configServer }: DaemonConfig): string {
  if (configServer !== null) return configServer;
  throw new HomewardError('usage', '--config-server is missing', {
    hint: 'Give it, or set ConfigServerAddress in the file of --config.',
  });
}

/** What is set for a place, or null for the usual one. */
export const placeOf = (setting: string): string | null => (setting === '' ? null : setting);

/** Names under which others reach this host, where an operator says so. */
export const natNames = ({ natHostName, natIpAddress }: Config): string[] =>
  [natHostName, natIpAddress].filter((name) => name !== '');

function configuredServer({ configServerAddress: host, configServerPort: port }: Config): string | null {
  if (host === '') return null;
  const address = formatAddress(host, port);
  try {
    parseAddress(address);
  } catch (cause) {
    throw new HomewardError('bad-config', `ConfigServerAddress cannot be ${JSON.stringify(host)}`, {
      cause,
      hint: 'Give a name or an address alone; its port is ConfigServerPort.',
    });
  }
  return address;
}
