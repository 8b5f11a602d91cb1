// Puts frames together out of what a socket brings, with at most one copy of each byte.
import { decodeFrameHeader, frameHeaderBytes, type Frame, type FrameHeader } from './frame.ts';

/**
 * A body that takes less of its chunk than this is copied out, so that it does not hold the chunk in
 * memory.
 */
const sliceLeastBytes = 16 * 1024;

export class FrameReader {
  #chunks: Buffer[] = [];
  /** Bytes of the first chunk that have been taken. */
  #taken = 0;
  #waiting = 0;
  #header: FrameHeader | null = null;
  /** The body under way, and how much of it is there. */
  #body: Buffer | null = null;
  #filled = 0;

  add(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.#waiting += chunk.length;
  }

  /** The next whole frame, or null; throws 'chain-broken' when what is there is none. */
  next(): Frame | null {
    if (this.#header === null) {
      if (this.#waiting < frameHeaderBytes) return null;
      this.#header = decodeFrameHeader(this.#take(frameHeaderBytes));
    }
    const header = this.#header;
    const body = this.#bodyOf(header.bodyBytes);
    if (body === null) return null;
    this.#header = null;
    return { ...header, body };
  }

  #bodyOf(bytes: number): Buffer | null {
    if (this.#body === null) {
      if (this.#waiting >= bytes) return this.#take(bytes);
      this.#body = Buffer.allocUnsafeSlow(bytes);
      this.#filled = 0;
    }
    const body = this.#body;
    this.#filled += this.#move(body, this.#filled);
    if (this.#filled < bytes) return null;
    this.#body = null;
    return body;
  }

  /** `bytes` that are there: of one chunk as they lie, else as a copy. */
  #take(bytes: number): Buffer {
    const [first] = this.#chunks;
    if (bytes >= sliceLeastBytes && first !== undefined && first.length - this.#taken >= bytes) {
      const slice = first.subarray(this.#taken, this.#taken + bytes);
      this.#consume(first, bytes);
      return slice;
    }
    const copy = Buffer.allocUnsafe(bytes);
    this.#move(copy, 0);
    return copy;
  }

  /** Fills `target` from `at` on with what is there; gives back how much that was. */
  #move(target: Buffer, at: number): number {
    let moved = 0;
    for (let first = this.#chunks[0]; first !== undefined; first = this.#chunks[0]) {
      if (at + moved === target.length) break;
      const count = first.copy(target, at + moved, this.#taken);
      this.#consume(first, count);
      moved += count;
    }
    return moved;
  }

  #consume(first: Buffer, bytes: number): void {
    this.#taken += bytes;
    this.#waiting -= bytes;
    if (this.#taken < first.length) return;
    this.#chunks.shift();
    this.#taken = 0;
  }
}
