// Where the files of one machine lie on the retention volume.
import { join } from 'node:path';

export interface MachinePaths {
  directory: string;
  redo: string;
  undo: string;
  /** What may be deleted at any time. */
  derived: string;
  ledger: string;
  /** Notes of recoveries onto devices that were interrupted. */
  recoveries: string;
  machineFile: string;
  cursorFile: string;
  /** What is known to be damaged. */
  damage: string;
}

export function machinePaths(retention: string, id: string): MachinePaths {
  const directory = join(retention, id);
  return {
    directory,
    redo: join(directory, 'redo'),
    undo: join(directory, 'undo'),
    derived: join(directory, 'derived'),
    ledger: join(directory, 'ledger'),
    recoveries: join(directory, 'recoveries'),
    machineFile: join(directory, 'machine.json'),
    cursorFile: join(directory, 'cursor'),
    damage: join(directory, 'damage.json'),
  };
}
