// Where the configuration of this host lies, and what goes with it: data, identity, control socket, unit.
import fs from 'node:fs';
import path from 'node:path';
import type { Config } from '../../core/config.ts';
import { HomewardError } from '../../core/errors.ts';
import { daemonOfRole, unitDirectory, unitOf } from '../../core/service-drop-in.ts';
import { installationOf, usualControl, usualData, type DaemonRole } from '../../core/usual-places.ts';

export interface Places {
  config: string;
  /** Of the daemon. */
  data: string;
  role: DaemonRole;
  /** Where the daemon may answer, the likeliest first. */
  controls: readonly string[];
  unit: string;
  /** Where drop-ins of units lie. */
  units: string;
}

interface Asked {
  /** `--config`, as typed. */
  config: string | undefined;
  control: string | undefined;
  units: string | undefined;
  cwd: string;
  environment: Readonly<Record<string, string | undefined>>;
  /** The directory of the program: `DIR/Vx/releases/<version>` or a checkout. */
  root: string;
}

/**
 * `--config` before HOMEWARD_CONFIG before the file of the installation that this program belongs to. Throws
 * 'usage' in a checkout, which has none.
 */
export function findConfig({ config, cwd, environment, root }: Asked): string {
  const named = config ?? environment['HOMEWARD_CONFIG'] ?? '';
  if (named !== '') return path.resolve(cwd, named);
  const installed = installationOf(root);
  if (installed !== null) return path.join(installed, 'etc/drscout.conf');
  throw new HomewardError('usage', 'this program is not installed, so no configuration file belongs to it', {
    hint: 'Name one with --config FILE or HOMEWARD_CONFIG.',
  });
}

export function placesOf(asked: Asked, config: string, settings: Config): Places {
  const role = daemonOfRole[settings.role];
  const data = settings.dataDirectory === '' ? usualData(role) : settings.dataDirectory;
  const named = asked.control ?? asked.environment['HOMEWARD_CONTROL'] ?? '';
  const controls =
    named === '' ? [path.join(data, 'control.sock'), usualControl] : [path.resolve(asked.cwd, named)];
  const units = asked.units === undefined ? unitDirectory : path.resolve(asked.cwd, asked.units);
  return { config, data, role, controls, unit: unitOf(role), units };
}

/** Not each of them is there; the first that is. */
export const controlOf = ({ controls }: Places): string | null =>
  controls.find((control) => fs.existsSync(control)) ?? null;
