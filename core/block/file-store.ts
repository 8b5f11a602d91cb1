// A disk in a regular file or on a block device.
import fs from 'node:fs';
import { errnoOf } from '../errors.ts';
import { readFully, writeFully } from '../full-io.ts';
import { deviceSize, punchHole, seekData, seekHole, zeroDevice, zeroRange } from '../linux.ts';
import { systemError } from '../system-error.ts';
import { KiB, MiB } from '../units.ts';
import { appendExtent, dataExtent, holeExtent } from './append-extent.ts';
import type { BlockExtent, BlockStore } from './block-store.ts';
import { checkRange } from './check-range.ts';

export interface FileStoreOptions {
  readOnly?: boolean;
  /** Makes a new sparse file of this size; one that exists is an error (EEXIST). */
  create?: number;
}

/** A store with the open file behind it, which may be lent to another thread. */
export interface FileStore extends BlockStore {
  readonly fd: number;
  readonly kind: 'file' | 'device';
}

const { O_RDONLY, O_RDWR, O_CREAT, O_EXCL } = fs.constants;
const fileMode = 0o640;
/** Ends of a range that do not fill such a block of a device are written, not zeroed by the device. */
const deviceBlockBytes = 4 * KiB;
/** No single call may keep a thread of the pool for long. */
const zeroCallBytes = 256 * MiB;
const writtenZeros = Buffer.alloc(MiB);

/**
 * Opens a disk; errors are those of node:fs. A device opened for writing is claimed: EBUSY when it is mounted
 * or another has claimed it.
 */
export function openFileStore(path: string, options: FileStoreOptions = {}): FileStore {
  const fd = openDisk(path, options);
  try {
    if (options.create !== undefined) fs.ftruncateSync(fd, options.create);
    return new OpenFileStore(fd, options.readOnly ?? false, true);
  } catch (error) {
    fs.closeSync(fd);
    throw error;
  }
}

/** A disk on a file that somebody else opened and will close: `close` of this store leaves it open. */
export function lentFileStore(fd: number, { readOnly = false } = {}): FileStore {
  return new OpenFileStore(fd, readOnly, false);
}

function openDisk(path: string, { readOnly, create }: FileStoreOptions): number {
  if (create !== undefined) return fs.openSync(path, O_RDWR | O_CREAT | O_EXCL, fileMode);
  if (readOnly) return fs.openSync(path, O_RDONLY);
  const isDevice = fs.statSync(path).isBlockDevice();
  // On a device, and only there, O_EXCL means: nobody else has it.
  return fs.openSync(path, isDevice ? O_RDWR | O_EXCL : O_RDWR);
}

class OpenFileStore implements FileStore {
  readonly fd: number;
  readonly kind: 'file' | 'device';
  readonly size: number;
  private readonly readOnly: boolean;
  private owned: boolean;

  constructor(fd: number, readOnly: boolean, owned: boolean) {
    const stat = fs.fstatSync(fd);
    if (!stat.isFile() && !stat.isBlockDevice()) {
      throw systemError('EINVAL', 'open', '(neither a file nor a block device)');
    }
    this.fd = fd;
    this.kind = stat.isFile() ? 'file' : 'device';
    this.size = stat.isFile() ? stat.size : deviceSize(fd);
    this.readOnly = readOnly;
    this.owned = owned;
  }

  async read(target: Uint8Array, offset: number): Promise<void> {
    checkRange(this.size, offset, target.length);
    const read = await readFully(this.fd, target, offset);
    if (read === target.length) return;
    throw systemError('EIO', 'read', `(the file ends at ${offset + read}, not at ${this.size})`);
  }

  async write(source: Uint8Array, offset: number): Promise<void> {
    this.checkChange(offset, source.length);
    await writeFully(this.fd, source, offset);
  }

  async zero(offset: number, length: number, { punch = false } = {}): Promise<void> {
    this.checkChange(offset, length);
    const unit = this.kind === 'device' ? deviceBlockBytes : 1;
    const end = offset + length;
    const start = Math.min(Math.ceil(offset / unit) * unit, end);
    const stop = Math.max(Math.floor(end / unit) * unit, start);
    await this.writeZeros(offset, start);
    for (let at = start; at < stop; at += zeroCallBytes) {
      await this.zeroWithoutWriting(at, Math.min(zeroCallBytes, stop - at), punch);
    }
    await this.writeZeros(stop, end);
  }

  flush(): Promise<void> {
    return new Promise((resolve, reject) => {
      fs.fdatasync(this.fd, (error) => {
        if (error) reject(error);
        else resolve();
      });
    });
  }

  async extents(offset: number, length: number): Promise<BlockExtent[]> {
    checkRange(this.size, offset, length);
    const extents: BlockExtent[] = [];
    const end = offset + length;
    if (this.kind === 'device') appendExtent(extents, dataExtent(length));
    else for (let at = offset; at < end;) at = appendHoleAndData(extents, this.fd, at, end);
    return extents;
  }

  async close(): Promise<void> {
    if (this.owned) fs.closeSync(this.fd);
    this.owned = false;
  }

  private checkChange(offset: number, length: number): void {
    if (this.readOnly) throw systemError('EPERM', 'write', '(the store is read-only)');
    checkRange(this.size, offset, length);
  }

  /**
   * The cheapest way the host knows; a hole only where it is allowed. Writing zeros is what every host can
   * do.
   */
  private async zeroWithoutWriting(offset: number, length: number, punch: boolean): Promise<void> {
    const ways = this.kind === 'device' ? [zeroDevice] : [zeroRange];
    for (const way of punch ? [punchHole, ...ways] : ways) {
      try {
        await way(this.fd, offset, length);
        return;
      } catch (error) {
        if (!['ENOTSUP', 'ENOSYS', 'ENOTTY', 'EINVAL'].includes(errnoOf(error) ?? '')) throw error;
      }
    }
    await this.writeZeros(offset, offset + length);
  }

  private async writeZeros(start: number, end: number): Promise<void> {
    for (let at = start; at < end; at += writtenZeros.length) {
      await writeFully(this.fd, writtenZeros.subarray(0, Math.min(writtenZeros.length, end - at)), at);
    }
  }
}

/** Appends the hole at `at`, if there is one, and the data behind it; returns where both end. */
function appendHoleAndData(extents: BlockExtent[], fd: number, at: number, end: number): number {
  const data = Math.min(seekData(fd, at) ?? end, end);
  appendExtent(extents, holeExtent(data - at));
  if (data === end) return end;
  // Punched between both calls, a hole may begin at `data` itself: then it is the next turn's.
  const hole = Math.min(seekHole(fd, data) ?? end, end);
  appendExtent(extents, dataExtent(hole - data));
  return hole;
}
