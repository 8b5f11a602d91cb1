// A disk with a past, for tests of a first copy: data that does not compress here, written zeros there,
// holes between.
import fs from 'node:fs';
import { MiB } from '../../core/units.ts';
import type { Random } from './random.ts';

export interface Laid {
  /** Bytes, in multiples of 64 KiB. */
  at: number;
  length: number;
  zeros?: boolean;
}

/** A new file of `size` bytes, a hole but for what is laid; the rest that a workload may have begins at 0. */
export function layDisk(file: string, size: number, laid: readonly Laid[], random: Random): void {
  const fd = fs.openSync(file, 'w');
  fs.ftruncateSync(fd, size);
  for (const { at, length, zeros = false } of laid) {
    for (let done = 0; done < length; done += MiB) {
      const count = Math.min(MiB, length - done);
      fs.writeSync(fd, zeros ? Buffer.alloc(count) : random.bytes(count), 0, count, at + done);
    }
  }
  fs.fsyncSync(fd);
  fs.closeSync(fd);
}
