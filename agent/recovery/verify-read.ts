// Reads what a disk gives: sectors that it fails to read come back as zeros, which then do not fit.
import { errnoOf } from '../../core/errors.ts';
import { readFullySync } from '../../core/full-io.ts';

const sectorBytes = 4096;

/** Fills `target` from `position`; returns how many bytes there were, fewer only at the end of the file. */
export function readWhatThereIs(fd: number, target: Buffer, position: number): number {
  try {
    return readFullySync(fd, target, position);
  } catch (error) {
    if (errnoOf(error) !== 'EIO') throw error;
  }
  for (let at = 0; at < target.length;) {
    const end = Math.min(at + sectorBytes - ((position + at) % sectorBytes), target.length);
    const read = readSector(fd, target.subarray(at, end), position + at);
    if (read < end - at) return at + read;
    at = end;
  }
  return target.length;
}

function readSector(fd: number, target: Buffer, position: number): number {
  try {
    return readFullySync(fd, target, position);
  } catch (error) {
    if (errnoOf(error) !== 'EIO') throw error;
    target.fill(0);
    return target.length;
  }
}
