// The hash of a file of the history, for its line in the ledger.
import { createHash } from 'node:crypto';
import { readFullySync } from '../../core/full-io.ts';
import { MiB } from '../../core/units.ts';

const pieceBytes = MiB;

/** BLAKE2b-512 cut to 256 bits, in hex, of what is added. */
export class FileHash {
  readonly #hash = createHash('blake2b512');

  add(bytes: Uint8Array): this {
    this.#hash.update(bytes);
    return this;
  }

  hex(): string {
    return this.#hash.digest('hex').slice(0, 64);
  }
}

/** The hash of the first `bytes` of an open file, of what there is when it is shorter. */
export function hashFile(fd: number, bytes: number): string {
  const hash = new FileHash();
  const buffer = Buffer.allocUnsafe(Math.min(pieceBytes, bytes));
  for (let at = 0; at < bytes; at += buffer.length) {
    const piece = buffer.subarray(0, Math.min(buffer.length, bytes - at));
    const read = readFullySync(fd, piece, at);
    hash.add(piece.subarray(0, read));
    if (read < piece.length) break;
  }
  return hash.hex();
}
