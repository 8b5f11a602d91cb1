// The file system of the host behind the seam that the journal uses.
import fs from 'node:fs';
import { errnoOf } from '../errors.ts';
import { lentFileStore } from '../block/file-store.ts';
import { readFully, readFullySync, writeFullySync } from '../full-io.ts';
import { allocate, deviceSize, seekData, seekHole } from '../linux.ts';
import type { Files } from './files.ts';

// Node opens every file close-on-exec.
const { O_RDONLY, O_RDWR, O_CREAT, O_EXCL } = fs.constants;
const fileMode = 0o640;

export const hostFiles: Files = {
  create: (path) => fs.openSync(path, O_RDWR | O_CREAT | O_EXCL, fileMode),
  open: openFile,
  close: (fd) => fs.closeSync(fd),
  size: (fd) => fs.fstatSync(fd).size,
  allocate: allocateFile,
  write: writeFullySync,
  zero: (fd, offset, length) => lentFileStore(fd).zero(offset, length, { punch: true }),
  nextData,
  nextHole,
  readSync: readFullySync,
  read: readFully,
  sync: syncData,
  syncDirectory,
  rename: (from, to) => fs.renameSync(from, to),
  unlink: (path) => fs.unlinkSync(path),
  ensureDirectory: (path) => {
    fs.mkdirSync(path, { recursive: true });
  },
  list: (directory) => fs.readdirSync(directory),
  freeBytes(directory) {
    const { bavail, bsize } = fs.statfsSync(directory);
    return bavail * bsize;
  },
};

function allocateFile(fd: number, bytes: number): void {
  const size = fs.fstatSync(fd).size;
  if (size > bytes) fs.ftruncateSync(fd, bytes);
  if (bytes === 0) return;
  try {
    allocate(fd, 0, bytes);
  } catch (error) {
    if (errnoOf(error) !== 'ENOTSUP') throw error;
    // Such a file system allocates when it is written to. What the file holds stays, its holes stay holes.
    writeZeros(fd, size, bytes);
  }
}

function writeZeros(fd: number, from: number, to: number): void {
  const zeros = Buffer.alloc(1024 * 1024);
  for (let at = from; at < to; at += zeros.length) {
    writeFullySync(fd, [zeros.subarray(0, Math.min(zeros.length, to - at))], at);
  }
}

// A device has no holes to look for: there lseek is refused.
function nextData(fd: number, offset: number): number | null {
  const found = trySeek(() => seekData(fd, offset));
  if (found !== undefined) return found;
  return offset < deviceSize(fd) ? offset : null;
}

function nextHole(fd: number, offset: number): number | null {
  const found = trySeek(() => seekHole(fd, offset));
  if (found !== undefined) return found;
  const size = deviceSize(fd);
  return offset < size ? size : null;
}

/** Undefined when the file is of a kind that does not know. */
function trySeek(seek: () => number | null): number | null | undefined {
  try {
    return seek();
  } catch (error) {
    if (errnoOf(error) === 'EINVAL') return undefined;
    throw error;
  }
}

function syncData(fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    fs.fdatasync(fd, (error) => {
      if (error) reject(error);
      else resolve();
    });
  });
}

/** The entries of a directory (created, renamed, unlinked) are on stable storage when it resolves. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await fs.promises.open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/**
 * What cannot be written any more can still be read: on a volume that is read-only a write fails, not
 * this.
 */
function openFile(path: string): number {
  try {
    return fs.openSync(path, O_RDWR);
  } catch (error) {
    if (errnoOf(error) !== 'EROFS') throw error;
    return fs.openSync(path, O_RDONLY);
  }
}
