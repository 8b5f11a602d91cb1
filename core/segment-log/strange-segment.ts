// Tells a file that only has the name of a segment from one that a crash left: the first is never removed.
import { decodeRecordHeader, findRecordMagic, type MachineMark } from '../record/record.ts';
import { decodeGroupHeader, findGroupMagic, type GroupHeader } from './group.ts';

/** Why a file is set aside rather than removed; it becomes the end of its name. */
export type Strangeness = 'foreign' | 'misplaced';

export interface StrangeRequest {
  content: Buffer;
  machine: Buffer;
  mark: MachineMark;
  /** What the file's name says. */
  firstLsn: number;
  appliedLsn: number;
}

/**
 * Judges a file that nothing of the log is in any more. Ordinary, hence null: it begins as its name says; all
 * zeros, as allocated; what an older use left, which the cursor has passed; a torn first group of ours. A
 * group torn so that none of its headers is left looks foreign: it is kept, and does no harm.
 */
export function strangenessOf(request: StrangeRequest): Strangeness | null {
  const { content, machine, firstLsn, appliedLsn } = request;
  const first = ownFrame(content, 0, machine);
  if (first !== null) {
    if (first.firstLsn === firstLsn) return null;
    return lastLsnOf(content, first) > appliedLsn ? 'misplaced' : null;
  }
  if (isZero(content) || holdsOwn(request)) return null;
  return 'foreign';
}

function ownFrame(content: Buffer, at: number, machine: Buffer): GroupHeader | null {
  const frame = decodeGroupHeader(content, at);
  return frame !== null && frame.position === at && frame.machine.equals(machine) ? frame : null;
}

/** The last LSN of the use of the file that `first` began. */
function lastLsnOf(content: Buffer, first: GroupHeader): number {
  let last = 0;
  for (let at = 0; at >= 0; at = findGroupMagic(content, at + 1)) {
    const frame = ownFrame(content, at, first.machine);
    if (frame !== null && frame.identity.equals(first.identity))
      last = Math.max(last, frame.firstLsn + frame.records - 1);
  }
  return last;
}

function holdsOwn({ content, machine, mark }: StrangeRequest): boolean {
  for (let at = findGroupMagic(content, 0); at >= 0; at = findGroupMagic(content, at + 1))
    if (ownFrame(content, at, machine) !== null) return true;
  for (let at = findRecordMagic(content, 0); at >= 0; at = findRecordMagic(content, at + 1))
    if (decodeRecordHeader(content, at, mark) !== null) return true;
  return false;
}

const zeros = Buffer.alloc(64 * 1024);

function isZero(content: Buffer): boolean {
  for (let at = 0; at < content.length; at += zeros.length) {
    const piece = content.subarray(at, at + zeros.length);
    if (!piece.equals(zeros.subarray(0, piece.length))) return false;
  }
  return true;
}
