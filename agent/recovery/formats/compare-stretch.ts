// Compares a stretch of a disk with what a recovery has written of it.
import { limits } from '../../../core/limits.ts';
import { appendRange, type ByteRange, type DiskSource } from './disk-source.ts';
import type { ImageReader } from './image-reader.ts';
import type { Stretch } from './stretch.ts';

const unit = limits.diskSectorBytes;
const buffers = {
  wanted: Buffer.allocUnsafeSlow(limits.exportBufferBytes),
  found: Buffer.allocUnsafeSlow(limits.exportBufferBytes),
};

/** The sectors that are not the same, in order and apart. */
export function compareStretch(source: DiskSource, image: ImageReader, { from, to }: Stretch): ByteRange[] {
  const differing: ByteRange[] = [];
  for (let offset = from; offset < to; offset += limits.exportBufferBytes) {
    const end = Math.min(offset + limits.exportBufferBytes, to);
    if (source.dataRuns(offset, end, 1).length === 0 && image.isHole(offset, end)) continue;
    const wanted = buffers.wanted.subarray(0, end - offset);
    const found = buffers.found.subarray(0, end - offset);
    source.read(offset, wanted);
    image.read(offset, found);
    if (wanted.equals(found)) continue;
    for (let at = 0; at < wanted.length; at += unit) {
      const stop = Math.min(at + unit, wanted.length);
      if (!wanted.subarray(at, stop).equals(found.subarray(at, stop)))
        appendRange(differing, offset + at, offset + stop);
    }
  }
  return differing;
}
