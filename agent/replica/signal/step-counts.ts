// Looks at some of the blocks that a step writes, before and after, and counts what became of them.
import { limits } from '../../../core/limits.ts';
import { BlockClass, classOf, isZeros, roughClassOf } from './block-class.ts';

const blockBytes = 4096;
const stretchBytes = limits.signalStretchBytes;
const blocksPerStretch = stretchBytes / blockBytes;

/** Blocks that were looked at, each for `limits.signalStretchBytes`. */
export interface SignalCounts {
  /** Written with content; zeros that were made of something. */
  written: number;
  zeroed: number;
  /** Written where there was something. */
  rewritten: number;
  /** Of those, structured content that is random now, and that is packed now. */
  encrypted: number;
  packed: number;
  /** Written where there was nothing, and of those what is random and what is packed. */
  fresh: number;
  freshRandom: number;
  freshPacked: number;
  /** Structured content that is zeros now. */
  dropped: number;
}

/** Counts of records [firstLsn, lastLsn]. */
export interface SignalPiece extends SignalCounts {
  firstLsn: number;
  lastLsn: number;
}

export const noCounts: Readonly<SignalCounts> = {
  ...{ written: 0, zeroed: 0, rewritten: 0, encrypted: 0, packed: 0 },
  ...{ fresh: 0, freshRandom: 0, freshPacked: 0, dropped: 0 },
};

/** Adds to `sum`. */
export function addCounts(sum: SignalCounts, more: Readonly<SignalCounts>): void {
  sum.written += more.written;
  sum.zeroed += more.zeroed;
  sum.rewritten += more.rewritten;
  sum.encrypted += more.encrypted;
  sum.packed += more.packed;
  sum.fresh += more.fresh;
  sum.freshRandom += more.freshRandom;
  sum.freshPacked += more.freshPacked;
  sum.dropped += more.dropped;
}

/** The blocks of old content that are looked at, in address order. */
export class OldBlocks {
  readonly addresses: number[] = [];
  readonly classes: BlockClass[] = [];

  /** `bytes` are the content from machine address `start` on. */
  saw(start: number, bytes: Uint8Array): void {
    const end = start + bytes.length;
    for (let stretch = Math.floor(start / stretchBytes); stretch * stretchBytes < end; stretch++) {
      const at = chosenBlock(stretch);
      if (at < start || at + blockBytes > end) continue;
      this.addresses.push(at);
      this.classes.push(roughClassOf(bytes, at - start, at - start + blockBytes));
    }
  }
}

/** Told in address order what is written; blocks that `old` does not have were zeros. */
export class StepCounter {
  readonly #old: OldBlocks;
  #next = 0;
  readonly #lsns: number[] = [];
  /** What a block was, and is now. */
  readonly #changes: [BlockClass, BlockClass][] = [];

  constructor(old: OldBlocks) {
    this.#old = old;
  }

  wrote(lsn: number, start: number, bytes: Uint8Array): void {
    const end = start + bytes.length;
    for (let stretch = Math.floor(start / stretchBytes); stretch * stretchBytes < end; stretch++) {
      const at = chosenBlock(stretch);
      if (at < start || at + blockBytes > end) continue;
      const before = this.#oldAt(at);
      this.#note(lsn, before, classAfter(before, bytes, at - start));
    }
  }

  zeroed(lsn: number, start: number, end: number): void {
    const { addresses, classes } = this.#old;
    this.#turnTo(start);
    for (; this.#next < addresses.length; this.#next++) {
      if (addresses[this.#next]! + blockBytes > end) return;
      this.#note(lsn, classes[this.#next]!, BlockClass.zero);
    }
  }

  /** In LSN order, in pieces that are neither long nor many. */
  pieces(): SignalPiece[] {
    const order = [...this.#lsns.keys()].sort((one, other) => this.#lsns[one]! - this.#lsns[other]!);
    const pieces: SignalPiece[] = [];
    for (let from = 0; from < order.length; from += limits.signalPieceBlocks) {
      const part = order.slice(from, from + limits.signalPieceBlocks);
      const [first, last] = [this.#lsns[part[0]!]!, this.#lsns[part.at(-1)!]!];
      const piece = { ...noCounts, firstLsn: first, lastLsn: last };
      for (const index of part) countChange(piece, ...this.#changes[index]!);
      pieces.push(piece);
    }
    return pieces;
  }

  #note(lsn: number, before: BlockClass, after: BlockClass): void {
    this.#lsns.push(lsn);
    this.#changes.push([before, after]);
  }

  #oldAt(address: number): BlockClass {
    this.#turnTo(address);
    return this.#old.addresses[this.#next] === address ? this.#old.classes[this.#next]! : BlockClass.zero;
  }

  #turnTo(address: number): void {
    const { addresses } = this.#old;
    while (this.#next < addresses.length && addresses[this.#next]! < address) this.#next += 1;
  }
}

/** What becomes of content that is not structured does not matter, as long as there is some. */
function classAfter(before: BlockClass, bytes: Uint8Array, at: number): BlockClass {
  if (before === BlockClass.structured || before === BlockClass.zero)
    return classOf(bytes, at, at + blockBytes);
  return isZeros(bytes, at, at + blockBytes) ? BlockClass.zero : BlockClass.small;
}

/** One of the stretch, at a place that no layout of files has a habit of. */
function chosenBlock(stretch: number): number {
  const mixed = Math.imul(stretch | 0, 0x9e3779b1) >>> 16;
  return stretch * stretchBytes + (mixed % blocksPerStretch) * blockBytes;
}

function countChange(sum: SignalCounts, before: BlockClass, after: BlockClass): void {
  const { zero, structured, packed, random } = BlockClass;
  if (after === zero) {
    if (before !== zero) sum.zeroed += 1;
    if (before === structured) sum.dropped += 1;
    return;
  }
  sum.written += 1;
  if (before === zero) {
    sum.fresh += 1;
    if (after === random) sum.freshRandom += 1;
    if (after === packed) sum.freshPacked += 1;
    return;
  }
  sum.rewritten += 1;
  if (before !== structured) return;
  if (after === random) sum.encrypted += 1;
  if (after === packed) sum.packed += 1;
}
