// A disk of a view as recoveries read it: where it holds data, and what to do about damage.
import { HomewardError } from '../../../core/errors.ts';
import { limits } from '../../../core/limits.ts';

/** Bytes [start, end) of a disk. */
export type ByteRange = [start: number, end: number];

/** What is asked of a view's reader. */
export interface ViewedDisks {
  read(disk: number, offset: number, target: Buffer): void;
  extents(disk: number, offset: number, length: number): readonly { length: number; zero: boolean }[];
}

export interface DiskSourceOptions {
  reader: ViewedDisks;
  disk: { index: number; name: string; size: number };
  /** Damaged bytes read as zeros and are remembered; otherwise they are an error. */
  allowDamaged: boolean;
}

export class DiskSource {
  readonly size: number;
  readonly #options: DiskSourceOptions;
  #damaged: ByteRange[] = [];

  constructor(options: DiskSourceOptions) {
    this.#options = options;
    this.size = options.disk.size;
  }

  /** Ranges of [from, to) that hold data, widened to multiples of `unit`, in order and apart. */
  dataRuns(from: number, to: number, unit: number): ByteRange[] {
    const runs: ByteRange[] = [];
    let offset = from;
    const { reader, disk } = this.#options;
    for (const { length, zero } of reader.extents(disk.index, from, to - from)) {
      const start = Math.floor(offset / unit) * unit;
      offset += length;
      if (zero) continue;
      const end = Math.min(Math.ceil(offset / unit) * unit, to);
      const last = runs.at(-1);
      if (last !== undefined && last[1] >= start) last[1] = end;
      else runs.push([start, end]);
    }
    return runs;
  }

  /** Fills `target` from `offset`; what lies behind the end of the disk is zeros. */
  read(offset: number, target: Buffer): void {
    const inside = Math.min(target.length, this.size - offset);
    target.fill(0, inside);
    const before = this.#damaged.length;
    this.#readAround(offset, target.subarray(0, inside));
    const first = this.#damaged[before];
    if (first !== undefined && !this.#options.allowDamaged) throw this.#refusal(first);
  }

  /** What was damaged in what was read since the last call. */
  takeDamaged(): ByteRange[] {
    const damaged = this.#damaged;
    this.#damaged = [];
    return damaged;
  }

  /** Halves what cannot be read until what is left of it is a sector, so that nothing else is lost. */
  #readAround(offset: number, target: Buffer): void {
    const { reader, disk } = this.#options;
    try {
      reader.read(disk.index, offset, target);
    } catch (error) {
      if (!(error instanceof HomewardError && error.code === 'damaged')) throw error;
      const sectors = Math.ceil(target.length / limits.diskSectorBytes);
      if (sectors > 1) {
        const half = Math.ceil(sectors / 2) * limits.diskSectorBytes;
        this.#readAround(offset, target.subarray(0, half));
        this.#readAround(offset + half, target.subarray(half));
        return;
      }
      target.fill(0);
      appendRange(this.#damaged, offset, offset + target.length);
    }
  }

  #refusal([start, end]: ByteRange): HomewardError {
    const { name } = this.#options.disk;
    return new HomewardError('damaged', `bytes ${start} to ${end} of disk ${name} are damaged or unknown`, {
      hint:
        'Choose another point: `homeward verify M` says which have them. Or add --allow-damaged: then such ' +
        'bytes are written as zeros and listed in the result. What is written already is kept, and not ' +
        'written again.',
    });
  }
}

/** Adds a range that begins at or behind the end of the last, which it continues if it can. */
export function appendRange(ranges: ByteRange[], start: number, end: number): void {
  const last = ranges.at(-1);
  if (last !== undefined && last[1] === start) last[1] = end;
  else ranges.push([start, end]);
}
