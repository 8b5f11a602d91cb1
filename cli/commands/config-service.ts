// `homeward config service`: tells systemd of the places that the configuration file names.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { loadConfig } from '../../core/config.ts';
import { createLog } from '../../core/log.ts';
import { serviceDropIn, unitDirectory, writeServiceDropIn } from '../../core/service-drop-in.ts';
import { required } from '../operands.ts';
import type { Verb } from '../session.ts';

export interface ConfigServiceOptions {
  config?: string;
  write?: boolean;
  units?: string;
}

export const configService: Verb<ConfigServiceOptions> = async (session, _operands, options) => {
  const file = session.resolve(required(options.config, '--config'));
  const config = loadConfig({ file, environment: {}, log: createLog() });
  const dropIn = serviceDropIn(config);
  if (options.write !== true) {
    session.result(dropIn, () => dropIn.text);
    return;
  }
  const units = options.units === undefined ? unitDirectory : session.resolve(options.units);
  const written = path.join(units, dropIn.file);
  const changed = writeServiceDropIn(dropIn, units);
  const reloaded = changed && units === unitDirectory && reloadUnits();
  session.result({ unit: dropIn.unit, file: written, changed, reloaded }, () =>
    changed ? `wrote ${written}\n` : `${written} is up to date\n`,
  );
};

/** Where systemd does not run, it reads its units when it does. */
function reloadUnits(): boolean {
  if (!fs.existsSync('/run/systemd/system')) return false;
  return spawnSync('systemctl', ['daemon-reload'], { stdio: 'ignore' }).status === 0;
}
