// Hashes of a stretch of disk, one for each 64 KiB, as source and master target compare them.
import { hash } from 'node:crypto';
import { hashBytes, hashedChunkBytes } from '../../core/chain/messages.ts';

/** Hashed at the same time: more would keep the threads of the pool from the disks. */
const lanes = 2;
const zeros = Buffer.alloc(hashedChunkBytes);
const zeroHash = hash('sha256', zeros, 'buffer').subarray(0, hashBytes);

export const chunkCount = (bytes: number): number => Math.ceil(bytes / hashedChunkBytes);

/** SHA-256, truncated, of each chunk; the last may be short. Done on the thread pool. */
export async function hashChunks(data: Buffer): Promise<Buffer> {
  const hashes = Buffer.alloc(chunkCount(data.length) * hashBytes);
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < data.length) {
      const at = next;
      next += hashedChunkBytes;
      const digest = await hashOf(data.subarray(at, at + hashedChunkBytes));
      hashes.set(digest, (at / hashedChunkBytes) * hashBytes);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return hashes;
}

/** The same for `bytes` that are all zero. */
export async function zeroHashes(bytes: number): Promise<Buffer> {
  const whole = Buffer.alloc(Math.floor(bytes / hashedChunkBytes) * hashBytes, zeroHash);
  const rest = bytes % hashedChunkBytes;
  return rest === 0 ? whole : Buffer.concat([whole, await hashOf(zeros.subarray(0, rest))]);
}

export function isZero(chunk: Buffer): boolean {
  return zeros.compare(chunk, 0, chunk.length, 0, chunk.length) === 0;
}

async function hashOf(chunk: Buffer): Promise<Uint8Array> {
  if (chunk.length === hashedChunkBytes && isZero(chunk)) return zeroHash;
  // A plain view: the digest takes no shared memory.
  const digest = await crypto.subtle.digest('SHA-256', chunk as Buffer<ArrayBuffer>);
  return new Uint8Array(digest, 0, hashBytes);
}
