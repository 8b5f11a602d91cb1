// Writes stretches of a disk into a streamOptimized VMDK file: compressed grains, then their grain table.
import { HomewardError } from '../../../core/errors.ts';
import {
  encodeVmdkGrain,
  encodeVmdkTable,
  vmdkGrainBytes,
  vmdkGrainSectors,
  vmdkSectorBytes,
  vmdkSectorsMost,
  vmdkTableGrains,
  vmdkTableSectors,
} from '../../../core/formats/vmdk.ts';
import { limits } from '../../../core/limits.ts';
import type { DiskSource } from './disk-source.ts';
import { packGrain } from './pack-grain.ts';
import { isZero, writeInParts, type DiskWriter, type SharedTurns, type Stretch } from './stretch.ts';

/** What deflate makes of a grain that it cannot compress, and the marker, are below this. */
const grainSectorsMost = vmdkGrainSectors(vmdkGrainBytes) + 2;
const blobBytesMost = (vmdkTableGrains * grainSectorsMost + vmdkTableSectors) * vmdkSectorBytes;

/**
 * The file is a stream in the order of the disk, so a stretch is compressed first and gets its place when all
 * before it have theirs.
 */
export class VmdkWriter implements DiskWriter {
  readonly #source: DiskSource;
  readonly #fd: number;
  readonly #turns: SharedTurns;
  /** Of `todo`: the stretch at position p is the `firstIndex + p`-th. */
  readonly #firstIndex: number;
  readonly #buffer = Buffer.allocUnsafeSlow(limits.exportBufferBytes);
  /** Pages that are never written to take no memory. */
  readonly #blob = Buffer.allocUnsafeSlow(blobBytesMost);

  constructor(source: DiskSource, fd: number, turns: SharedTurns, firstIndex: number) {
    this.#source = source;
    this.#fd = fd;
    this.#turns = turns;
    this.#firstIndex = firstIndex;
  }

  async write({ index, from, to }: Stretch): Promise<{ parts: number[]; bytesWritten: number }> {
    const grains = new Uint32Array(vmdkTableGrains);
    let sectors = this.#compress(from, to, grains);
    const isEmpty = sectors === 0;
    if (!isEmpty) sectors += vmdkTableSectors;
    const sector = this.#turns.takeSectors(index - this.#firstIndex, sectors);
    if (sector + sectors >= vmdkSectorsMost) throw tooLarge();
    if (isEmpty) return { parts: [sector, sector], bytesWritten: 0 };
    const table = encodeVmdkTable(grains.map((grain) => (grain === 0 ? 0 : grain - 1 + sector)));
    const bytes = sectors * vmdkSectorBytes;
    table.copy(this.#blob, bytes - table.length);
    writeInParts(this.#fd, this.#blob.subarray(0, bytes), sector * vmdkSectorBytes);
    return { parts: [sector, sector + sectors], bytesWritten: bytes };
  }

  /** Fills the blob; gives back its sectors, and in `grains` the sector within it of each grain, plus 1. */
  #compress(from: number, to: number, grains: Uint32Array): number {
    let sectors = 0;
    for (const [start, end] of this.#source.dataRuns(from, to, vmdkGrainBytes)) {
      for (let offset = start; offset < end; offset += this.#buffer.length) {
        const count = Math.ceil((end - offset) / vmdkGrainBytes);
        const piece = this.#buffer.subarray(0, count * vmdkGrainBytes);
        this.#source.read(offset, piece);
        for (let at = 0; at < piece.length; at += vmdkGrainBytes) {
          const grain = piece.subarray(at, at + vmdkGrainBytes);
          if (isZero(grain)) continue;
          grains[(offset + at - from) / vmdkGrainBytes] = sectors + 1;
          const target = this.#blob.subarray(sectors * vmdkSectorBytes);
          sectors += encodeVmdkGrain(target, offset + at, packGrain(grain));
        }
      }
    }
    return sectors;
  }
}

function tooLarge(): HomewardError {
  return new HomewardError('bad-target', 'the VMDK file would be larger than the 2 TiB that its format has', {
    hint: 'Recover to qcow2:DIR or raw:DIR, which have no such bound.',
  });
}
