// Writes stretches of a disk into a qcow2 file: clusters as they come, and their entries at their places.
import {
  encodeQcow2Entries,
  qcow2ClusterBytes,
  qcow2EntryPosition,
  qcow2Layout,
  type Qcow2Layout,
} from '../../../core/formats/qcow2.ts';
import { writeFullySync } from '../../../core/full-io.ts';
import { limits } from '../../../core/limits.ts';
import { appendRange, type ByteRange, type DiskSource } from './disk-source.ts';
import { isZero, writeInParts, type DiskWriter, type SharedTurns, type Stretch } from './stretch.ts';

const clusterBytes = qcow2ClusterBytes;

export class Qcow2Writer implements DiskWriter {
  readonly #source: DiskSource;
  readonly #fd: number;
  readonly #turns: SharedTurns;
  readonly #layout: Qcow2Layout;
  readonly #buffer = Buffer.allocUnsafeSlow(limits.exportBufferBytes);

  constructor(source: DiskSource, fd: number, turns: SharedTurns) {
    this.#source = source;
    this.#fd = fd;
    this.#turns = turns;
    this.#layout = qcow2Layout(source.size);
  }

  /** The entries of the whole stretch are written each time: a run before may have left others there. */
  async write({ from, to }: Stretch): Promise<{ parts: number[]; bytesWritten: number }> {
    const entries = new Float64Array(Math.ceil((to - from) / clusterBytes));
    const runs: ByteRange[] = [];
    let bytesWritten = 0;
    for (const [start, end] of this.#source.dataRuns(from, to, clusterBytes)) {
      for (let offset = start; offset < end; offset += this.#buffer.length) {
        // The last cluster of the file is whole, also when the disk ends within it.
        const clusters = Math.ceil((end - offset) / clusterBytes);
        const piece = this.#buffer.subarray(0, clusters * clusterBytes);
        this.#source.read(offset, piece);
        const filled = filledClusters(piece);
        if (filled.length === 0) continue;
        const first = this.#turns.takeClusters(filled.length);
        this.#writeClusters(piece, filled, first);
        filled.forEach((cluster, at) => {
          entries[(offset - from) / clusterBytes + cluster] = first + at;
        });
        appendRange(runs, first, first + filled.length);
        bytesWritten += filled.length * clusterBytes;
      }
    }
    const position = qcow2EntryPosition(this.#layout, from / clusterBytes);
    writeFullySync(this.#fd, [encodeQcow2Entries(entries)], position);
    return { parts: runs.flat(), bytesWritten };
  }

  #writeClusters(piece: Buffer, filled: readonly number[], first: number): void {
    const ranges: ByteRange[] = [];
    for (const cluster of filled) appendRange(ranges, cluster, cluster + 1);
    let position = first * clusterBytes;
    for (const [start, end] of ranges) {
      writeInParts(this.#fd, piece.subarray(start * clusterBytes, end * clusterBytes), position);
      position += (end - start) * clusterBytes;
    }
  }
}

/** The clusters of a piece that are not all zeros. */
function filledClusters(piece: Buffer): number[] {
  const filled: number[] = [];
  for (let at = 0; at < piece.length; at += clusterBytes)
    if (!isZero(piece.subarray(at, at + clusterBytes))) filled.push(at / clusterBytes);
  return filled;
}
