// Writes NBD replies: the 16-byte simple ones collected, those with data in one buffer with their header.
import type { BlockExtent } from '../block/block-store.ts';
import type { NbdErrno } from './export.ts';
import {
  Allocation,
  allocationContextId,
  Chunk,
  ChunkFlag,
  chunkHeaderBytes,
  Magic,
  simpleReplyBytes,
} from './protocol.ts';

/** No client of ours has use for more pieces in one answer; it asks again where the answer ends. */
const extentsMost = 64 * 1024;

/** What leaves together: the bytes, and the buffers that are free again when those have left. */
export interface Outgoing {
  buffers: Buffer[];
  borrowed: Buffer[];
}

/** Replies that wait to be written together. */
export class ReplyBatch {
  #simple = Buffer.allocUnsafeSlow(256 * simpleReplyBytes);
  #simpleEnd = 0;
  #out: Buffer[] = [];
  #outBytes = 0;
  #borrowed: Buffer[] = [];

  get bytes(): number {
    return this.#simpleEnd + this.#outBytes;
  }
  get empty(): boolean {
    return this.bytes === 0;
  }

  simple(cookieHigh: number, cookieLow: number, errno: NbdErrno): void {
    if (this.#simpleEnd === this.#simple.length) this.#seal();
    writeSimpleReply(this.#simple, this.#simpleEnd, cookieHigh, cookieLow, errno);
    this.#simpleEnd += simpleReplyBytes;
  }

  /** A finished reply of any kind; `borrowed` is the buffer that it lies in, if that is to be used again. */
  add(reply: Buffer, borrowed: Buffer | null = null): void {
    this.#seal();
    this.#push(reply);
    if (borrowed !== null) this.#borrowed.push(borrowed);
  }

  /** Everything collected since the last call, in order. */
  take(): Outgoing {
    this.#seal();
    const outgoing = { buffers: this.#out, borrowed: this.#borrowed };
    this.#out = [];
    this.#outBytes = 0;
    this.#borrowed = [];
    return outgoing;
  }

  #seal(): void {
    if (this.#simpleEnd === 0) return;
    this.#push(Buffer.from(this.#simple.subarray(0, this.#simpleEnd)));
    this.#simpleEnd = 0;
  }

  #push(bytes: Buffer): void {
    this.#out.push(bytes);
    this.#outBytes += bytes.length;
  }
}

export function writeSimpleReply(
  into: Buffer,
  at: number,
  cookieHigh: number,
  cookieLow: number,
  errno: NbdErrno,
): void {
  into.writeUInt32BE(Magic.simpleReply, at);
  into.writeUInt32BE(errno, at + 4);
  into.writeUInt32BE(cookieHigh, at + 8);
  into.writeUInt32BE(cookieLow, at + 12);
}

function writeChunkHeader(
  into: Buffer,
  chunk: number,
  cookieHigh: number,
  cookieLow: number,
  length: number,
): void {
  into.writeUInt32BE(Magic.structuredReply, 0);
  into.writeUInt16BE(ChunkFlag.done, 4);
  into.writeUInt16BE(chunk, 6);
  into.writeUInt32BE(cookieHigh, 8);
  into.writeUInt32BE(cookieLow, 12);
  into.writeUInt32BE(length, 16);
}

/** Where the data begins in the reply to a READ. */
export const dataStart = (structured: boolean): number =>
  structured ? chunkHeaderBytes + 8 : simpleReplyBytes;

/**
 * Begins the reply to a READ in `bytes`, which has room for the data too: one simple reply, or one chunk, so
 * that DF is kept by all.
 */
export function beginDataReply(
  bytes: Buffer,
  structured: boolean,
  cookieHigh: number,
  cookieLow: number,
  offset: number,
): void {
  if (structured) {
    const length = bytes.length - dataStart(structured);
    writeChunkHeader(bytes, Chunk.offsetData, cookieHigh, cookieLow, 8 + length);
    bytes.writeBigUInt64BE(BigInt(offset), chunkHeaderBytes);
  } else {
    writeSimpleReply(bytes, 0, cookieHigh, cookieLow, 0);
  }
}

/** An error for a request whose reply has to be structured. */
export function errorChunk(cookieHigh: number, cookieLow: number, errno: NbdErrno): Buffer {
  const bytes = Buffer.alloc(chunkHeaderBytes + 6);
  writeChunkHeader(bytes, Chunk.error, cookieHigh, cookieLow, 6);
  bytes.writeUInt32BE(errno, chunkHeaderBytes);
  return bytes;
}

/** The reply to BLOCK_STATUS for `base:allocation`; neighbours that are alike become one. */
export function blockStatusReply(
  cookieHigh: number,
  cookieLow: number,
  extents: BlockExtent[],
  one: boolean,
): Buffer {
  const merged = mergeExtents(extents, one ? 1 : extentsMost);
  const bytes = Buffer.alloc(chunkHeaderBytes + 4 + 8 * merged.length);
  writeChunkHeader(bytes, Chunk.blockStatus, cookieHigh, cookieLow, 4 + 8 * merged.length);
  bytes.writeUInt32BE(allocationContextId, chunkHeaderBytes);
  let at = chunkHeaderBytes + 4;
  for (const { length, flags } of merged) {
    bytes.writeUInt32BE(length, at);
    bytes.writeUInt32BE(flags, at + 4);
    at += 8;
  }
  return bytes;
}

function mergeExtents(extents: BlockExtent[], most: number): { length: number; flags: number }[] {
  const merged: { length: number; flags: number }[] = [];
  for (const { length, hole, zero } of extents) {
    const flags = (hole ? Allocation.hole : 0) | (zero ? Allocation.zero : 0);
    const last = merged.at(-1);
    if (last?.flags === flags) last.length += length;
    else if (merged.length === most) break;
    else merged.push({ length, flags });
  }
  return merged;
}
