// Which blocks an overlay has changed, in a file of its own, so that the overlay outlives its process.
//
// Little-endian.  offset  bytes
//                      0      8  "HWSCRATC"
//                      8      4  version, 1
//                     12      4  CRC-32 of the header with zeros here
//                     16      8  size of the disk
//                     24      8  the moment that the base shows (an LSN)
//                   4096 + 4096n  bits of blocks [32768n, 32768(n + 1)), of 4 KiB each; a hole is no bits
import { crc32 } from 'node:zlib';
import { HomewardError } from '../errors.ts';
import { BlockMap, blockMapPageBytes, type BlockMapPage } from './block-map.ts';
import type { BlockStore } from './block-store.ts';

/** What the marks are about. */
export interface OverlayOf {
  size: number;
  lsn: number;
}

const magic = 'HWSCRATC';
const version = 1;
const headerBytes = 32;
const pagesFrom = 4096;

/** How large the store of the marks of a disk has to be. */
export function overlayMapBytes(size: number): number {
  return pagesFrom + Math.ceil(size / (blockMapPageBytes * 8 * 4096)) * blockMapPageBytes;
}

export class OverlayMap {
  readonly changed = new BlockMap();
  readonly #store: BlockStore;

  private constructor(store: BlockStore) {
    this.#store = store;
  }

  /**
   * Reads what the last `save` left; a store of zeros is made one that says: nothing has changed. So is one
   * whose header was torn by a crash while it was made, before there was any mark.
   */
  static async open(store: BlockStore, of: OverlayOf): Promise<OverlayMap> {
    const map = new OverlayMap(store);
    await map.#load();
    const found = Buffer.alloc(headerBytes);
    await store.read(found, 0);
    const header = encodeHeader(of);
    if (found.equals(header)) return map;
    if (map.changed.count > 0 || isSound(found))
      throw new HomewardError('damaged', 'the marks of a scratch are not those of its view');
    await store.write(header, 0);
    await store.flush();
    return map;
  }

  /**
   * Makes these marks durable. A crash before it resolves leaves any part of them, and each by itself is true
   * when the content of its block was durable before.
   */
  async save(pages: readonly BlockMapPage[]): Promise<void> {
    if (pages.length === 0) return;
    for (const { index, bits } of pages) {
      await this.#store.write(bits, pagesFrom + index * blockMapPageBytes);
    }
    await this.#store.flush();
  }

  close(): Promise<void> {
    return this.#store.close();
  }

  async #load(): Promise<void> {
    let at = pagesFrom;
    let loaded = -1; // a hole may end inside a page
    for (const { length, zero } of await this.#store.extents(pagesFrom, this.#store.size - pagesFrom)) {
      const end = at + length;
      const next = Math.ceil((end - pagesFrom) / blockMapPageBytes);
      let index = Math.max(Math.floor((at - pagesFrom) / blockMapPageBytes), loaded + 1);
      for (; index < next && !zero; index += 1) {
        await this.#loadPage(index);
        loaded = index;
      }
      at = end;
    }
  }

  async #loadPage(index: number): Promise<void> {
    const bits = Buffer.alloc(blockMapPageBytes);
    await this.#store.read(bits, pagesFrom + index * blockMapPageBytes);
    this.changed.load({ index, bits });
  }
}

function encodeHeader({ size, lsn }: OverlayOf): Buffer {
  const header = Buffer.alloc(headerBytes);
  header.write(magic, 0, 'latin1');
  header.writeUInt32LE(version, 8);
  header.writeBigUInt64LE(BigInt(size), 16);
  header.writeBigUInt64LE(BigInt(lsn), 24);
  header.writeUInt32LE(crc32(header), 12);
  return header;
}

function isSound(header: Buffer): boolean {
  const unsealed = Buffer.from(header);
  unsealed.writeUInt32LE(0, 12);
  return header.readUInt32LE(12) === crc32(unsealed);
}
