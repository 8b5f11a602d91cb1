// The replica of one disk as it was before a step: what is data and what a hole, checked as it is read.
import { errnoOf, HomewardError } from '../../core/errors.ts';
import { ContentKind } from '../../core/extents/extent-columns.ts';
import { joinRanges } from '../../core/extents/join-ranges.ts';
import type { Files } from '../../core/files/files.ts';
import { limits } from '../../core/limits.ts';
import { openSums, sumBlockBytes, SumsReader, type SumsFile } from './replica-sums.ts';
import type { DamagedPlace, LentDisk } from './undo/undo-step.ts';

/** Bytes [start, end) of the disk, of one kind. */
interface Piece {
  start: number;
  end: number;
  kind: ContentKind;
}
/** Bytes [from, to) of the disk. */
type Part = [from: number, to: number];

/** Whose replica, and the LSN that it is at. */
export interface OldState {
  machine: Uint8Array;
  disk: number;
  lsn: number;
}

/** Asked in the order of offsets, while nobody writes. */
export class OldContent {
  readonly size: number;
  /** Some, if there are many. */
  readonly damaged: DamagedPlace[] = [];
  readonly #files: Files;
  readonly #lent: LentDisk;
  readonly #state: OldState;
  readonly #file: SumsFile | null;
  readonly #sums: SumsReader | null;
  readonly #block = Buffer.allocUnsafeSlow(sumBlockBytes);
  #unreadable = 0;
  /** Data or a hole that was looked for last: [from, to). */
  #from = 0;
  #to = 0;
  #isHole = false;

  constructor(files: Files, lent: LentDisk, state: OldState) {
    this.size = lent.size;
    this.#files = files;
    this.#lent = lent;
    this.#state = state;
    this.#file = lent.sums ? openSums(files, lent.sums, state) : null;
    const reader = this.#file === null ? null : new SumsReader(this.#file);
    this.#sums = reader?.isValid(state.lsn) === true ? reader : null;
  }

  close(): void {
    if (this.#file !== null) this.#files.close(this.#file.fd);
  }

  /** What [start, end) consists of; data in pieces of at most what is flushed at a time. */
  *pieces(start: number, end: number): Generator<Piece> {
    for (let at = start; at < end;) {
      if (at < this.#from || at >= this.#to) this.#look(at);
      const stop = Math.min(end, this.#to, this.#isHole ? end : at + limits.applyFlushBytes);
      if (this.#isHole) yield* this.#hole(at, stop);
      else yield { start: at, end: stop, kind: ContentKind.data };
      at = stop;
    }
  }

  /** Reads into `target` from `offset` on; gives back the parts of it whose content is damaged. */
  readonly fill = (target: Buffer, offset: number): Part[] => {
    const bad = this.#read(target, offset);
    if (this.#sums !== null) {
      bad.push(...this.#sums.check(offset, target));
      bad.push(...this.#checkEnds(this.#sums, offset, offset + target.length));
    }
    if (bad.length === 0) return bad;
    const parts = joinRanges(bad);
    for (const [from, to] of parts) this.#note(from, to);
    return parts.map(([from, to]) => [from - offset, to - offset]);
  };

  #look(at: number): void {
    this.#from = at;
    this.#isHole = false;
    this.#to = this.size;
    const { fd, sparse } = this.#lent;
    if (!sparse) return;
    const data = Math.min(this.#files.nextData(fd, at) ?? this.size, this.size);
    this.#isHole = data > at;
    this.#to = this.#isHole ? data : Math.min(this.#files.nextHole(fd, at) ?? this.size, this.size);
  }

  /** A hole where the sums say that there was something is damage too. */
  *#hole(start: number, end: number): Generator<Piece> {
    let at = start;
    for (const [from, to] of this.#sums?.checkHole(start, end) ?? []) {
      if (from > at) yield { start: at, end: from, kind: ContentKind.zero };
      yield { start: from, end: to, kind: ContentKind.unknown };
      this.#note(from, to);
      at = to;
    }
    if (at < end) yield { start: at, end, kind: ContentKind.zero };
  }

  /** Of blocks at either end that are wanted in part, all has to be read to check them. */
  #checkEnds(sums: SumsReader, start: number, end: number): Part[] {
    const bad: Part[] = [];
    const first = start - (start % sumBlockBytes);
    const last = end - (end % sumBlockBytes);
    if (first < start || last === first) this.#checkBlock(sums, first, start, end, bad);
    if (last < end && last > first) this.#checkBlock(sums, last, start, end, bad);
    return bad;
  }

  #checkBlock(sums: SumsReader, block: number, start: number, end: number, bad: Part[]): void {
    const stop = block + sumBlockBytes;
    if (stop > this.size) return;
    const isBad = this.#read(this.#block, block).length > 0 || sums.check(block, this.#block).length > 0;
    if (isBad) bad.push([Math.max(block, start), Math.min(stop, end)]);
  }

  /** What the disk does not give back is damaged; when that is very much, the disk is not there at all. */
  #read(target: Buffer, offset: number): Part[] {
    const { fd } = this.#lent;
    const bad: Part[] = [];
    const read = (piece: Buffer, at: number): void => {
      if (this.#files.readSync(fd, piece, at) < piece.length)
        throw new HomewardError(
          'damaged',
          `the replica of disk ${this.#state.disk} is shorter than the disk`,
        );
    };
    try {
      read(target, offset);
      return bad;
    } catch (error) {
      if (errnoOf(error) !== 'EIO') throw error;
    }
    for (let at = 0; at < target.length;) {
      const piece = target.subarray(at, at + sumBlockBytes - ((offset + at) % sumBlockBytes));
      try {
        read(piece, offset + at);
      } catch (error) {
        if (errnoOf(error) !== 'EIO' || ++this.#unreadable > limits.damagedPlaces) throw error;
        bad.push([offset + at, offset + at + piece.length]);
      }
      at += piece.length;
    }
    return bad;
  }

  #note(start: number, end: number): void {
    if (this.damaged.length >= limits.damagedPlaces) return;
    const { lsn, disk } = this.#state;
    this.damaged.push({ lsn, disk, start, end, file: null });
  }
}
