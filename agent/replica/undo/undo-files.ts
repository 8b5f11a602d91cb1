// Looks through the directory of undo segments at start: what each file is, and what is left over.
import { join } from 'node:path';
import { errnoOf, toHomewardError } from '../../../core/errors.ts';
import type { Files } from '../../../core/files/files.ts';
import type { Log } from '../../../core/log.ts';
import type { UndoPiece } from './undo-chain.ts';
import { isMissing, readUndoNote, type UndoFound } from './undo-head.ts';
import { parseUndoFileName } from './undo-names.ts';
import type { UndoStep } from './undo-step.ts';

/** A file of the directory, and the step that it is of where that can be read. */
export interface UndoFile extends UndoPiece {
  path: string;
  step: UndoStep | null;
}

/** All undo segments in `directory`. Files of other names do not count; none is touched. */
export function listUndoFiles(files: Files, directory: string, machine: Uint8Array, log: Log): UndoFile[] {
  return namesIn(files, directory).flatMap((name) => {
    const interval = parseUndoFileName(name);
    return interval === null ? [] : [readUndoFile(files, join(directory, name), interval, machine, log)];
  });
}

/** Removes temporary files: what they were to become was never named. */
export function removeUnnamed(files: Files, directory: string, log: Log): void {
  for (const name of namesIn(files, directory)) {
    const path = join(directory, name);
    if (name.endsWith('.seg.new')) tryChange(log, path, () => files.unlink(path));
  }
}

/** The names in a directory, none when there is no such directory. */
export function namesIn(files: Files, directory: string): string[] {
  try {
    return files.list(directory);
  } catch (error) {
    if (!isMissing(error)) throw error;
    return [];
  }
}

/** Gives a file that belongs nowhere another name, under which nothing looks for it. */
export function setAside(files: Files, { path }: UndoFile, log: Log): void {
  const aside = `${path}.aside`;
  log.warn('undo-set-aside', { file: path, as: aside });
  tryChange(log, path, () => files.rename(path, aside));
}

/** A volume that cannot be changed can be read: what stays is found by the next start. */
function tryChange(log: Log, path: string, change: () => void): void {
  try {
    change();
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === null) throw error;
    log.warn('undo-not-tidied', { file: path, errno });
  }
}

function readUndoFile(
  files: Files,
  path: string,
  { from, to }: { from: number; to: number },
  machine: Uint8Array,
  log: Log,
): UndoFile {
  const found = readNoteOrWhy(files, path, machine);
  const isOther = found.kind === 'undo' && (found.head.note.from !== from || found.head.note.to !== to);
  if (found.kind !== 'undo' || isOther) {
    const why = found.kind === 'undo' ? 'it is the undo of another step' : found.why;
    log.error('undo-not-readable', { file: path, why });
    return { from, to, path, step: null, state: 'unreadable', why };
  }
  const { note, identity, bytes, isWhole } = found.head;
  if (!isWhole) log.error('undo-cut', { file: path, bytes });
  const step: UndoStep = { ...note, path, identity, bytes, hash: '' };
  return {
    from,
    to,
    path,
    step,
    state: isWhole ? 'whole' : 'torn',
    why: isWhole ? '' : 'its end is missing',
  };
}

/** A disk that fails once may do better: until the next start the step would count as lost. */
function readNoteOrWhy(files: Files, path: string, machine: Uint8Array): UndoFound {
  const found = tryReadNote(files, path, machine);
  return found.kind === 'damaged' ? tryReadNote(files, path, machine) : found;
}

function tryReadNote(files: Files, path: string, machine: Uint8Array): UndoFound {
  let fd = -1;
  try {
    fd = files.open(path);
    return readUndoNote(files, fd, machine);
  } catch (error) {
    return { kind: 'damaged', why: toHomewardError(error).message };
  } finally {
    if (fd >= 0) files.close(fd);
  }
}
