// A disk of self-describing sectors: each says which write made it and where it belongs, so that stale,
// misplaced, torn and future data are told apart; and the model that knows how each moment has to look.
import { crc32 } from 'node:zlib';
import type { Random } from './random.ts';

export const sectorBytes = 512;
const magic = 0x484f5241;
const bodyFrom = 8;

/** Sectors [first, first + count) of one disk; `sequence` numbers the changes of that disk from 1. */
export interface Change {
  kind: 'write' | 'zero' | 'discard';
  sequence: number;
  first: number;
  count: number;
}

/** What is wrong with a sector that a disk has, in words. */
export interface Wrong {
  sector: number;
  expected: number;
  found: string;
}

export class Oracle {
  /** Tells sectors of several disks apart. */
  readonly disk: number;
  readonly sectors: number;
  readonly changes: Change[] = [];

  constructor(disk: number, sizeBytes: number) {
    this.disk = disk;
    this.sectors = sizeBytes / sectorBytes;
  }

  /** The next change, chosen by `random`; about one in eight removes content. */
  next(random: Random, onlyWrites = false): Change {
    const large = random.chance(0.02);
    const count = 1 + random.below(Math.min(this.sectors, large ? 2048 : 48));
    const kind = onlyWrites || random.chance(0.88) ? 'write' : random.pick(['zero', 'discard'] as const);
    return this.add(kind, random.below(this.sectors - count + 1), count);
  }

  add(kind: Change['kind'], first: number, count: number): Change {
    const change = { kind, sequence: this.changes.length + 1, first, count };
    this.changes.push(change);
    return change;
  }

  /** After a crash: what was sent after the first `count` changes never happened. */
  forgetAfter(count: number): void {
    this.changes.length = count;
  }

  data({ sequence, first, count }: Change): Buffer {
    const bytes = Buffer.alloc(count * sectorBytes, sequence & 0xff);
    for (let at = 0; at < count; at += 1)
      encodeSector(bytes, at * sectorBytes, this.disk, first + at, sequence);
    return bytes;
  }

  /** For each sector the change that made it after the first `count` changes; 0 where it reads as zeros. */
  stateAfter(count: number): Int32Array {
    const state = new Int32Array(this.sectors);
    for (const change of this.changes.slice(0, count)) {
      state.fill(change.kind === 'write' ? change.sequence : 0, change.first, change.first + change.count);
    }
    return state;
  }

  /** The first sectors of `image` that are not as after the first `count` changes; empty when all are. */
  compare(image: Buffer, count: number): Wrong[] {
    const state = this.stateAfter(count);
    const wrong: Wrong[] = [];
    if (image.length !== this.sectors * sectorBytes) {
      return [{ sector: -1, expected: this.sectors, found: `an image of ${image.length} bytes` }];
    }
    for (let sector = 0; sector < this.sectors && wrong.length < 5; sector += 1) {
      const expected = state[sector] ?? 0;
      const found = decodeSector(image, sector * sectorBytes, this.disk, sector);
      if (found !== expected) wrong.push({ sector, expected, found: String(found) });
    }
    return wrong;
  }

  /** The newest write that `image` shows: without zeros among the changes, how many of them it holds. */
  newest(image: Buffer): number {
    let newest = 0;
    for (let sector = 0; sector < this.sectors; sector += 1) {
      const found = decodeSector(image, sector * sectorBytes, this.disk, sector);
      if (typeof found === 'number') newest = Math.max(newest, found);
    }
    return newest;
  }
}

function encodeSector(bytes: Buffer, at: number, disk: number, sector: number, sequence: number): void {
  bytes.writeUInt32LE(magic, at);
  bytes.writeUInt32LE(disk, at + bodyFrom);
  bytes.writeDoubleLE(sector, at + bodyFrom + 4);
  bytes.writeDoubleLE(sequence, at + bodyFrom + 12);
  bytes.writeUInt32LE(crc32(bytes.subarray(at + bodyFrom, at + sectorBytes)), at + 4);
}

const zeros = Buffer.alloc(sectorBytes);

/** The sequence of the write that made it, 0 for zeros, or what it is instead. */
function decodeSector(image: Buffer, at: number, disk: number, sector: number): number | string {
  if (image.readUInt32LE(at) !== magic) {
    return zeros.equals(image.subarray(at, at + sectorBytes)) ? 0 : 'neither zeros nor a sector of ours';
  }
  if (crc32(image.subarray(at + bodyFrom, at + sectorBytes)) !== image.readUInt32LE(at + 4))
    return 'a torn sector';
  const home = [image.readUInt32LE(at + bodyFrom), image.readDoubleLE(at + bodyFrom + 4)];
  if (home[0] !== disk || home[1] !== sector) return `sector ${home[1]} of disk ${home[0]}`;
  return image.readDoubleLE(at + bodyFrom + 12);
}
