// Makes directories one level at a time, so that a failure says what the system said.
import fs from 'node:fs';
import path from 'node:path';
import { errnoOf } from './errors.ts';
import { systemError } from './system-error.ts';

/**
 * Makes `directory` and those above it where they are missing; gives back the topmost that it made, or null.
 * Why not `recursive: true`: on a read-only volume Node then says ENOENT. A file in its place is ENOTDIR.
 */
export function ensureDirectorySync(directory: string, mode = 0o750): string | null {
  if (fs.statSync(directory, { throwIfNoEntry: false })?.isDirectory()) return null;
  try {
    fs.mkdirSync(directory, mode);
    return directory;
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'EEXIST') throw systemError('ENOTDIR', 'mkdir', directory);
    const parent = path.dirname(directory);
    if (errno !== 'ENOENT' || parent === directory) throw error;
    const made = ensureDirectorySync(parent, mode);
    fs.mkdirSync(directory, mode);
    return made ?? directory;
  }
}
