// What split and merge read old content through: a checked reader of records, and damage told apart by block.
import { HomewardError } from '../../../core/errors.ts';
import { limits } from '../../../core/limits.ts';
import type { Wanted } from '../../../core/segment-log/read-record.ts';

export interface RecordFile {
  fd: number;
  path: string;
}

/** Fills `target` with what is wanted of one record; throws 'damaged' when it does not fit its checksums. */
export type ReadRecord = (file: RecordFile, target: Buffer, wanted: Wanted) => void;

const block = limits.checkBlockBytes;

/**
 * The same for many records in the order of their addresses, where damage is an answer: the parts [from, to)
 * of `target` that are lost. A large record loses only the blocks that do not fit; blocks of an aligned
 * disk address are tried apart, which is at least as fine as its check table unless that is unaligned.
 */
export function readOrLose(
  read: ReadRecord,
  file: RecordFile,
  target: Buffer,
  wanted: Wanted,
): [number, number][] {
  if (tryRead(read, file, target, wanted)) return [];
  const lost: [number, number][] = [];
  for (let at = wanted.start; at < wanted.end;) {
    const end = Math.min(Math.floor(at / block + 1) * block, wanted.end);
    const part = target.subarray(at - wanted.start, end - wanted.start);
    if (!tryRead(read, file, part, { ...wanted, start: at, end })) {
      const last = lost.at(-1);
      if (last !== undefined && last[1] === at - wanted.start) last[1] = end - wanted.start;
      else lost.push([at - wanted.start, end - wanted.start]);
    }
    at = end;
  }
  return lost;
}

function tryRead(read: ReadRecord, file: RecordFile, target: Buffer, wanted: Wanted): boolean {
  try {
    read(file, target, wanted);
    return true;
  } catch (error) {
    // A disk that fails to read may do better later: only what was read and is wrong counts as lost.
    if (error instanceof HomewardError && error.code === 'damaged') return false;
    throw error;
  }
}
