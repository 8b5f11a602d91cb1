// The thread that hashes the state of a machine as of a moment, for a source that compares.
import { hash, randomBytes } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import { hashBytes, hashedChunkBytes } from '../../../core/chain/messages.ts';
import { HomewardError, toHomewardError } from '../../../core/errors.ts';
import { limits } from '../../../core/limits.ts';
import type { ViewContent } from '../../replica/view-content.ts';
import { ViewReader } from '../../replica/view-reader.ts';

/** Bytes [start, end) of a disk. */
export interface HashAsked {
  disk: number;
  start: number;
  end: number;
}
export interface HashReply {
  asked: HashAsked;
  /** Base64, when it has not failed. */
  hashes: string;
  failed: string | null;
}

const chunk = Buffer.allocUnsafeSlow(hashedChunkBytes);
const zeroHashes = new Map<number, Buffer>();

if (parentPort !== null && workerData !== null) {
  const port = parentPort;
  const reader = new ViewReader(workerData as ViewContent);
  // A source may ask nothing for a long time; plans that nobody takes would pile up.
  setInterval(() => reader.refresh(), limits.viewRefreshMs).unref();
  port.on('message', (asked: HashAsked) => port.postMessage(reply(reader, asked)));
}

function reply(reader: ViewReader, asked: HashAsked): HashReply {
  try {
    return { asked, hashes: hashRange(reader, asked).toString('base64'), failed: null };
  } catch (error) {
    return { asked, hashes: '', failed: toHomewardError(error).message };
  }
}

/** One hash for each chunk, the last for what is left. What is known to be zeros is not read. */
export function hashRange(reader: ViewReader, { disk, start, end }: HashAsked): Buffer {
  const hashes = Buffer.allocUnsafe(Math.ceil((end - start) / hashedChunkBytes) * hashBytes);
  const stored = storedChunks(reader, { disk, start, end });
  for (let index = 0, at = start; at < end; index++, at += hashedChunkBytes) {
    const length = Math.min(hashedChunkBytes, end - at);
    const found = stored[index] === 1 ? hashChunk(reader, disk, at, length) : hashOfZeros(length);
    found.copy(hashes, index * hashBytes, 0, hashBytes);
  }
  return hashes;
}

/** 1 for each chunk that has something other than known zeros in it. */
function storedChunks(reader: ViewReader, { disk, start, end }: HashAsked): Uint8Array {
  const stored = new Uint8Array(Math.ceil((end - start) / hashedChunkBytes));
  let at = 0;
  for (const { length, zero } of reader.extents(disk, start, end - start)) {
    const last = Math.floor((at + length - 1) / hashedChunkBytes);
    if (!zero && length > 0) stored.fill(1, Math.floor(at / hashedChunkBytes), last + 1);
    at += length;
  }
  return stored;
}

/** What cannot be read is given a hash that nothing has: the source sends it, and so mends it. */
function hashChunk(reader: ViewReader, disk: number, offset: number, length: number): Buffer {
  const data = chunk.subarray(0, length);
  try {
    reader.read(disk, offset, data);
  } catch (error) {
    if (error instanceof HomewardError && error.code === 'damaged') return randomBytes(hashBytes);
    throw error;
  }
  return hash('sha256', data, 'buffer');
}

function hashOfZeros(length: number): Buffer {
  let found = zeroHashes.get(length);
  if (found === undefined) {
    found = hash('sha256', Buffer.alloc(length), 'buffer');
    zeroHashes.set(length, found);
  }
  return found;
}
