// Buffers for the replies to large reads, used again: fresh memory for each costs more than filling it.
import { KiB, MiB, roundUp } from '../units.ts';

const smallestBytes = 64 * KiB;
const keptBytesMost = 16 * MiB;

export class ReadBuffers {
  #kept: Buffer[] = [];
  #keptBytes = 0;

  get keptBytes(): number {
    return this.#keptBytes;
  }

  /** A buffer of at least `bytes`, to be given back by `give`; null for sizes that are not worth keeping. */
  take(bytes: number): Buffer | null {
    if (bytes < smallestBytes || bytes > keptBytesMost) return null;
    const size = roundUp(bytes, smallestBytes);
    const at = this.#kept.findLastIndex(({ length }) => length >= size && length <= size + size / 4);
    const kept = at < 0 ? undefined : this.#kept.splice(at, 1)[0];
    if (kept === undefined) return Buffer.allocUnsafeSlow(size);
    this.#keptBytes -= kept.length;
    return kept;
  }

  /** Nobody else may have use for it any more; what is not given back is left to the garbage collector. */
  give(buffer: Buffer): void {
    this.#kept.push(buffer);
    this.#keptBytes += buffer.length;
    while (this.#keptBytes > keptBytesMost) this.#keptBytes -= this.#kept.shift()?.length ?? 0;
  }
}
