// Where the files of a machine lie below a retention volume, for a reader that stands apart from the daemon.
import { join } from 'node:path';

export interface RescuePaths {
  directory: string;
  redo: string;
  undo: string;
  derived: string;
  ledger: string;
  machineFile: string;
  cursorFile: string;
}

/** As docs/journal-format.md has it. */
export function rescuePaths(retention: string, id: string): RescuePaths {
  const directory = join(retention, id);
  return {
    directory,
    redo: join(directory, 'redo'),
    undo: join(directory, 'undo'),
    derived: join(directory, 'derived'),
    ledger: join(directory, 'ledger'),
    machineFile: join(directory, 'machine.json'),
    cursorFile: join(directory, 'cursor'),
  };
}
