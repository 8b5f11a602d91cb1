// Where the files of one machine lie on the retention volume.
import { join } from 'node:path';

export interface MachinePaths {
  directory: string;
  redo: string;
  machineFile: string;
  cursorFile: string;
}

export function machinePaths(retention: string, id: string): MachinePaths {
  const directory = join(retention, id);
  return {
    directory,
    redo: join(directory, 'redo'),
    machineFile: join(directory, 'machine.json'),
    cursorFile: join(directory, 'cursor'),
  };
}
