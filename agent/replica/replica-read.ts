// What is asked of a replica's file or device by those who keep its checksums.
import { errnoOf } from '../../core/errors.ts';
import type { Files } from '../../core/files/files.ts';
import type { LentDisk } from './undo/undo-step.ts';

/** Whether nothing of [offset, offset + bytes) takes room. */
export function isHole(
  files: Files,
  { fd, sparse }: Pick<LentDisk, 'fd' | 'sparse'>,
  offset: number,
  bytes: number,
): boolean {
  return sparse && (files.nextData(fd, offset) ?? Infinity) >= offset + bytes;
}

/** False when the disk does not give all of it back. */
export function readWhole(files: Files, fd: number, target: Buffer, offset: number): boolean {
  try {
    return files.readSync(fd, target, offset) === target.length;
  } catch (error) {
    if (errnoOf(error) !== 'EIO') throw error;
    return false;
  }
}
