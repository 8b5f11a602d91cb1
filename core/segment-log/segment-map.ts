// What of a segment can still be read, found out by the rules of recovery: the slow way, taken behind damage.
import type { Files } from '../files/files.ts';
import { recordHeaderBytes, type MachineMark } from '../record/record.ts';
import { listFrames } from './frames.ts';
import { readTolerant } from './read-tolerant.ts';
import { scanSegment } from './scan.ts';
import type { Segment } from './segment.ts';

/** Records one behind the other in the file, or LSNs that are lost. */
export type Stretch =
  | { kind: 'records'; from: number; to: number; start: number; end: number }
  | { kind: 'lost'; from: number; to: number };

/** The stretches of a segment's records [from, upTo] in LSN order. */
export async function mapSegment(
  files: Files,
  owner: { machine: Buffer; mark: MachineMark },
  segment: Segment,
  { from, upTo }: { from: number; upTo: number },
): Promise<Stretch[]> {
  const content = Buffer.allocUnsafe(segment.end);
  const read = await readTolerant(files, segment.fd, content, 0);
  const stretches: Stretch[] = [];
  scanSegment({
    content: content.subarray(0, read),
    frames: listFrames(content.subarray(0, read), owner.machine, segment.firstLsn),
    machine: owner.mark,
    firstLsn: segment.firstLsn,
    cutLsn: upTo + 1,
    durable: upTo,
    visitor: {
      record({ lsn, payloadBytes }, position) {
        if (lsn < from) return;
        const end = position + recordHeaderBytes + payloadBytes;
        const last = stretches.at(-1);
        if (last?.kind === 'records' && last.end === position && last.to === lsn - 1) {
          last.to = lsn;
          last.end = end;
        } else {
          stretches.push({ kind: 'records', from: lsn, to: lsn, start: position, end });
        }
      },
      lost(lost) {
        if (lost.to >= from) stretches.push({ kind: 'lost', from: Math.max(lost.from, from), to: lost.to });
      },
    },
  });
  return stretches;
}
