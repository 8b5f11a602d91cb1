// Compression of frames: whether it is worth it, and both ways within bounds.
import { constants, zstdCompress, zstdCompressSync, zstdDecompress, zstdDecompressSync } from 'node:zlib';
import { limits } from '../limits.ts';
import { broken } from './frame.ts';

/** Less than this is not worth a thought. */
const leastBytes = 1024;
const samples = 16;
const sampleBytes = 256;
/**
 * Bits of information in a byte, by the frequencies of bytes: what is compressed or encrypted has nearly 8.
 */
const mostEntropy = 7.4;

/** Output comes in one piece: with zlib's own 16 KiB each of them costs a turn of the thread pool. */
const compressing = (bytes: number) => ({
  chunkSize: Math.max(bytes, leastBytes),
  params: { [constants.ZSTD_c_compressionLevel]: 1 },
});
/** A window of 8 MiB is the most that a sender may make us keep. */
const windowBits = 23;

/** Whether some 4 KiB out of the parts look as if they could be compressed. */
export function isWorthCompressing(parts: readonly Buffer[]): boolean {
  const total = parts.reduce((sum, part) => sum + part.length, 0);
  if (total < leastBytes) return false;
  const counts = new Uint32Array(256);
  let seen = 0;
  let partStart = 0;
  let index = 0;
  for (let sample = 0; sample < samples; sample++) {
    const at = Math.floor((total * sample) / samples);
    let part = parts[index];
    for (; part !== undefined && at >= partStart + part.length; part = parts[++index])
      partStart += part.length;
    if (part === undefined) break;
    for (const byte of part.subarray(at - partStart, at - partStart + sampleBytes)) {
      counts[byte] = (counts[byte] ?? 0) + 1;
      seen += 1;
    }
  }
  return entropyOf(counts, seen) < mostEntropy;
}

function entropyOf(counts: Uint32Array, total: number): number {
  let bits = 0;
  for (const count of counts) if (count > 0) bits -= (count / total) * Math.log2(count / total);
  return bits;
}

/** The body compressed, or null when that does not make it smaller; at once, or later when it is large. */
export function compress(body: Buffer): Buffer | null | Promise<Buffer | null> {
  const judge = (packed: Buffer): Buffer | null => (packed.length < body.length * 0.95 ? packed : null);
  if (body.length <= limits.chainCompressAtOnceBytes)
    return judge(zstdCompressSync(body, compressing(body.length)));
  return new Promise((resolve) => {
    zstdCompress(body, compressing(body.length), (error, packed) =>
      resolve(error === null ? judge(packed) : null),
    );
  });
}

/** The body as it was; throws or rejects with 'chain-broken' when it is not `rawBytes` long. */
export function decompress(body: Buffer, rawBytes: number): Buffer | Promise<Buffer> {
  const options = {
    maxOutputLength: Math.max(rawBytes, 1),
    // One more, so that the end is seen without a second piece.
    chunkSize: Math.max(rawBytes + 1, leastBytes),
    params: { [constants.ZSTD_d_windowLogMax]: windowBits },
  };
  const judge = (raw: Buffer): Buffer => {
    if (raw.length !== rawBytes) throw broken(`a frame has ${raw.length} bytes instead of ${rawBytes}`);
    return raw;
  };
  if (rawBytes <= limits.chainCompressAtOnceBytes && body.length <= limits.chainCompressAtOnceBytes) {
    try {
      return judge(zstdDecompressSync(body, options));
    } catch (error) {
      throw broken('a frame cannot be decompressed', error);
    }
  }
  return new Promise((resolve, reject) => {
    zstdDecompress(body, options, (error, raw) => {
      if (error !== null) return reject(broken('a frame cannot be decompressed', error));
      if (raw.length !== rawBytes) return reject(broken('a frame has another length than it says'));
      resolve(raw);
    });
  });
}
