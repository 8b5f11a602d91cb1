// What goes when a machine is given away: its history. Who it was, and the account of it, stay.
import fs from 'node:fs';
import { syncDirectorySync } from '../../core/atomic-file.ts';
import { toHomewardError } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import type { MachineFile } from '../replica/machine-file.ts';

/** Removes redo, undo and what is derived, as far as can be: the next start tries again. Never throws. */
export function dropHistory(
  paths: { directory: string; redo: string; undo: string; derived: string },
  { id, name }: Pick<MachineFile, 'id' | 'name'>,
  log: Log,
): void {
  const there = [paths.derived, paths.undo, paths.redo].filter((room) => fs.existsSync(room));
  if (there.length === 0) return;
  try {
    for (const room of there) fs.rmSync(room, { recursive: true, force: true });
    syncDirectorySync(paths.directory);
    log.info('history-removed', { machine: id, name });
  } catch (error) {
    log.warn('history-not-removed', { machine: id, name, error: toHomewardError(error) });
  }
}
