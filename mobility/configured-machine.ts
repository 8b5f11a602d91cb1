// The machine of an installed mobility service, as its configuration file names it.
import os from 'node:os';
import path from 'node:path';
import type { Config } from '../core/config.ts';
import { placeOf } from '../core/daemon-config.ts';
import { HomewardError } from '../core/errors.ts';
import type { MachineDisk } from './machine.ts';

export interface ConfiguredMachine {
  machine: string;
  disks: MachineDisk[];
  listen: string | null;
}

/** Throws 'bad-config' when no disk is set, or what is set is no disk. */
export function configuredMachine(config: Config, hostName = os.hostname()): ConfiguredMachine {
  const disks = config.machineDisks.split(/\s+/).filter((text) => text !== '');
  if (disks.length === 0) throw refused('MachineDisks is empty: there is nothing to protect');
  if (config.machineListen === '') throw refused('MachineListen is empty: nobody could reach the disks');
  return {
    machine: placeOf(config.machineName) ?? hostName,
    disks: disks.map(parseDisk),
    listen: config.machineListen,
  };
}

function parseDisk(text: string): MachineDisk {
  const [, name, place] = /^([^=]+)=(.+)$/s.exec(text) ?? [];
  if (name === undefined || place === undefined || !path.isAbsolute(place))
    throw refused(`"${text}" in MachineDisks is not NAME=PATH with an absolute path`);
  return { name, path: place };
}

const refused = (message: string): HomewardError =>
  new HomewardError('bad-config', message, {
    hint: 'Set for example MachineDisks = root=/dev/vg/root and MachineListen = unix:/run/homeward/web.sock.',
  });
