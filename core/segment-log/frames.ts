// Finds the sound frames of one segment's content, also behind damage (first pass of recovery).
import {
  decodeGroupHeader,
  findGroupMagic,
  groupHeaderBytes,
  syncedBlockBytes,
  type GroupHeader,
} from './group.ts';
import { roundUp } from '../units.ts';

export interface FrameList {
  frames: GroupHeader[];
  /** The largest previous durable LSN that any of them states. */
  durable: number;
  /** A sound frame that is another machine's stands where ours should. */
  foreign: boolean;
}

/**
 * All sound frames in file order that belong to this use of the file: of `machine`, at their own position,
 * of one identity, with LSNs from `firstLsn` up. Frames that an older use left have lower LSNs.
 */
export function listFrames(content: Buffer, machine: Buffer, firstLsn: number): FrameList {
  const result: FrameList = { frames: [], durable: 0, foreign: false };
  let identity: Buffer | null = null;
  let leastLsn = firstLsn;
  const frameAt = (position: number): GroupHeader | null => {
    const frame = decodeGroupHeader(content, position);
    if (frame === null || frame.position !== position) return null;
    if (!frame.machine.equals(machine)) {
      result.foreign ||= position === 0;
      return null;
    }
    if (identity !== null && !identity.equals(frame.identity)) return null;
    return frame.firstLsn < leastLsn ? null : frame;
  };
  for (let position = 0; position < content.length;) {
    const frame =
      frameAt(position) ??
      frameAt(roundUp(position, syncedBlockBytes)) ??
      nextFrame(content, position, frameAt);
    if (frame === null) break;
    identity ??= frame.identity;
    result.frames.push(frame);
    result.durable = Math.max(result.durable, frame.previousDurable);
    leastLsn = frame.firstLsn + frame.records;
    position = frame.position + groupHeaderBytes + frame.bodyBytes;
  }
  return result;
}

/** The LSN that precedes `firstLsn`, the first of a segment: every frame of it says which were skipped. */
export function precedingLsn(frame: GroupHeader | undefined, firstLsn: number): number {
  const skippedFrom = frame?.skippedFrom ?? 0;
  return skippedFrom > 0 && skippedFrom < firstLsn ? skippedFrom - 1 : firstLsn - 1;
}

function nextFrame(
  content: Buffer,
  from: number,
  frameAt: (at: number) => GroupHeader | null,
): GroupHeader | null {
  for (let at = findGroupMagic(content, from); at >= 0; at = findGroupMagic(content, at + 1)) {
    const frame = frameAt(at);
    if (frame !== null) return frame;
  }
  return null;
}
