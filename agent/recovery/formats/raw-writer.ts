// Writes stretches of a disk to a raw file or a block device, at the places they have on the disk.
import { lentFileStore, type FileStore } from '../../../core/block/file-store.ts';
import { readFullySync } from '../../../core/full-io.ts';
import { limits } from '../../../core/limits.ts';
import { KiB } from '../../../core/units.ts';
import { appendRange, type ByteRange, type DiskSource } from './disk-source.ts';
import { isZero, writeInParts, type DiskWriter, type Stretch } from './stretch.ts';

/** Zeros of so many bytes, aligned so, stay holes although the view has them as data. */
const blockBytes = 64 * KiB;

/** A file reads as zeros wherever nothing was written, and a device does not. */
export class RawWriter implements DiskWriter {
  readonly #source: DiskSource;
  readonly #store: FileStore;
  readonly #buffer = Buffer.allocUnsafeSlow(limits.exportBufferBytes);
  #there: Buffer | null = null;

  constructor(source: DiskSource, fd: number) {
    this.#source = source;
    this.#store = lentFileStore(fd);
  }

  get #isDevice(): boolean {
    return this.#store.kind === 'device';
  }

  async write({ from, to, compareFirst }: Stretch): Promise<{ parts: number[]; bytesWritten: number }> {
    let bytesWritten = 0;
    let offset = from;
    for (const [start, end] of this.#source.dataRuns(from, to, 1)) {
      await this.#zero(offset, start);
      for (offset = start; offset < end;) {
        const piece = this.#buffer.subarray(0, Math.min(end - offset, this.#buffer.length));
        this.#source.read(offset, piece);
        bytesWritten += this.#writePiece(piece, offset, compareFirst);
        offset += piece.length;
      }
    }
    await this.#zero(offset, to);
    return { parts: [], bytesWritten };
  }

  async #zero(from: number, to: number): Promise<void> {
    if (this.#isDevice && to > from) await this.#store.zero(from, to - from, { punch: true });
  }

  #writePiece(piece: Buffer, offset: number, compareFirst: boolean): number {
    if (compareFirst && this.#isThere(piece, offset)) return 0;
    let written = 0;
    for (const [start, end] of this.#isDevice ? [[0, piece.length] as const] : dataIn(piece)) {
      writeInParts(this.#store.fd, piece.subarray(start, end), offset + start);
      written += end - start;
    }
    return written;
  }

  #isThere(piece: Buffer, offset: number): boolean {
    this.#there ??= Buffer.allocUnsafeSlow(limits.exportBufferBytes);
    const there = this.#there.subarray(0, piece.length);
    return readFullySync(this.#store.fd, there, offset) === piece.length && there.equals(piece);
  }
}

/** The parts of a piece that are not blocks of zeros. */
function dataIn(piece: Buffer): ByteRange[] {
  const ranges: ByteRange[] = [];
  for (let at = 0; at < piece.length; at += blockBytes) {
    const end = Math.min(at + blockBytes, piece.length);
    if (!isZero(piece.subarray(at, end))) appendRange(ranges, at, end);
  }
  return ranges;
}
