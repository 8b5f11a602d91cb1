// The bytes of one entry of an undo segment that is being read: checked once, and taken in pieces.
import { crc32 } from 'node:zlib';
import { assert } from '../../../core/errors.ts';
import { addressOffset } from '../../../core/extents/address.ts';
import { limits } from '../../../core/limits.ts';
import { checkTableBytes } from '../../../core/record/payload.ts';
import { KnownSums } from '../known-sums.ts';
import type { FillContent } from './undo-writer.ts';
import type { UndoEntry } from './undo-reader.ts';

const block = limits.checkBlockBytes;
/** For those who do not ask what is known. */
const unused = new KnownSums();

/** Good until the next entry of the same scan is taken. */
export class EntryContent {
  readonly #start: number;
  readonly #data: Buffer;
  /** Machine addresses [start, end) whose bytes do not fit their checksum, in order. */
  readonly lost: readonly [number, number][];

  /** `known` gets to know the blocks that are checked. */
  constructor({ start, end, record }: UndoEntry, known = unused) {
    assert(record !== null, 'only a record has content');
    const { header, payload } = record;
    const tableBytes = checkTableBytes(header.length);
    this.#start = start;
    this.#data = payload.subarray(tableBytes);
    const table = payload.subarray(0, tableBytes);
    if (tableBytes > 0 && crc32(table) === header.payloadCrc)
      this.lost = lostBlocks(start, this.#data, table, known);
    else if (tableBytes === 0 && known.fits(payload, start, header.payloadCrc)) this.lost = [];
    else this.lost = [[start, end]];
  }

  /** For a writer that takes the piece from machine address `start` on. */
  fillFrom(start: number): FillContent {
    const disk = start - addressOffset(start);
    return (target, offset) => this.copy(disk + offset, target);
  }

  /**
   * Fills `target` from machine address `start` on; gives back the parts [from, to) of it that are lost:
   * their bytes mean nothing.
   */
  copy(start: number, target: Buffer): [number, number][] {
    const end = start + target.length;
    this.#data.copy(target, 0, start - this.#start, end - this.#start);
    const lost: [number, number][] = [];
    for (const [from, to] of this.lost) {
      if (from < end && to > start) lost.push([Math.max(from, start) - start, Math.min(to, end) - start]);
    }
    return lost;
  }
}

function lostBlocks(start: number, data: Buffer, table: Buffer, known: KnownSums): [number, number][] {
  const lost: [number, number][] = [];
  for (let at = 0; at < data.length; at += block) {
    const end = Math.min(at + block, data.length);
    if (known.blocksFit(data.subarray(at, end), start + at, table, at / block)) continue;
    const last = lost.at(-1);
    if (last !== undefined && last[1] === start + at) last[1] = start + end;
    else lost.push([start + at, start + end]);
  }
  return lost;
}
