// The Linux calls that Node lacks: flock, fallocate, holes, the ioctls of block devices, and datagrams to
// Unix sockets.
import fs from 'node:fs';
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { getSystemErrorName } from 'node:util';
import type { KoffiFunc } from 'koffi';
import type koffi from 'koffi';
import { undisturbed } from './end-thread.ts';

const { EINTR, EAGAIN, ENXIO } = constants.errno;

/** A failed call, shaped like the errors of node:fs, with their names for each errno. */
export class LinuxError extends Error {
  readonly code: string;
  /** Negative, as in node:fs. */
  readonly errno: number;
  readonly syscall: string;

  constructor(syscall: string, errno: number) {
    const code = getSystemErrorName(-errno);
    super(`${code}: ${syscall} failed with errno ${errno}`);
    this.name = 'LinuxError';
    this.code = code;
    this.errno = -errno;
    this.syscall = syscall;
  }
}

/**
 * Takes the exclusive lock of an open file, or answers false when another open file has it. Freed by close or
 * exit.
 */
export function tryLock(fd: number): boolean {
  const lockExclusive = 2;
  const doNotWait = 4;
  const { flock, lastErrno } = library();
  if (flock(fd, lockExclusive | doNotWait) === 0) return true;
  if (lastErrno() === EAGAIN) return false;
  throw new LinuxError('flock', lastErrno());
}

const FallocateMode = { allocate: 0, keepSize: 1, punchHole: 2, zeroRange: 16 } as const;

/** Allocates [offset, offset + length) on disk; the file grows to hold it, and what is there stays. */
export function allocate(fd: number, offset: number, length: number): void {
  const { fallocate, lastErrno } = library();
  // A signal may stop it half way; it may be repeated.
  while (fallocate(fd, FallocateMode.allocate, offset, length) !== 0) {
    if (lastErrno() !== EINTR) throw new LinuxError('fallocate', lastErrno());
  }
}

/**
 * Makes [offset, offset + length) of a file a hole; its size stays. On a block device: zeroes, discarding if
 * it can.
 */
export function punchHole(fd: number, offset: number, length: number): Promise<void> {
  const mode = FallocateMode.punchHole | FallocateMode.keepSize;
  return inBackground('fallocate', (done) => library().fallocate.async(fd, mode, offset, length, done));
}

/** Makes [offset, offset + length) of a file read as zeros while it stays allocated; its size stays. */
export function zeroRange(fd: number, offset: number, length: number): Promise<void> {
  const mode = FallocateMode.zeroRange | FallocateMode.keepSize;
  return inBackground('fallocate', (done) => library().fallocate.async(fd, mode, offset, length, done));
}

/**
 * Resolves when what is dirty of [offset, offset + length) was written to the disk. Nothing is durable by
 * that: a sync later has less to do. A failure that it tells of no later sync of the same open file does.
 */
export function writeOut(fd: number, offset: number, length: number): Promise<void> {
  const waitWriteWait = 7;
  return inBackground('sync_file_range', (done) =>
    library().syncFileRange.async(fd, offset, length, waitWriteWait, done),
  );
}

/** Takes what is not dirty of [offset, offset + length) out of the page cache. */
export function dropCached(fd: number, offset: number, length: number): Promise<void> {
  const doNotNeed = 4;
  return inBackground('posix_fadvise', (done) =>
    library().fadvise.async(fd, offset, length, doNotNeed, done),
  );
}

/** The first byte at or after `offset` that lies in data; null when only a hole follows. */
export const seekData = (fd: number, offset: number): number | null => seek(fd, offset, 3);

/** The first byte at or after `offset` that lies in a hole (the end counts as one); null beyond the end. */
export const seekHole = (fd: number, offset: number): number | null => seek(fd, offset, 4);

function seek(fd: number, offset: number, whence: number): number | null {
  const { lseek, lastErrno } = library();
  const found = Number(lseek(fd, offset, whence));
  if (found >= 0) return found;
  if (lastErrno() === ENXIO) return null;
  throw new LinuxError('lseek', lastErrno());
}

// Numbers from <linux/fs.h>; the same on x64 and arm64.
const BlockIoctl = { zeroOut: 0x127f, sizeBytes: 0x80081272 } as const;

/** Bytes of an open block device. */
export function deviceSize(fd: number): number {
  const answer = Buffer.alloc(8);
  queryDevice(fd, BlockIoctl.sizeBytes, answer);
  return Number(answer.readBigUInt64LE());
}

/** Makes [offset, offset + length) of a block device read as zeros; both are multiples of its sector size. */
export const zeroDevice = (fd: number, offset: number, length: number): Promise<void> =>
  changeDevice(fd, BlockIoctl.zeroOut, offset, length);

function queryDevice(fd: number, request: number, answer: Buffer): void {
  const { ioctl, lastErrno } = library();
  if (ioctl(fd, request, 'void *', answer) !== 0) throw new LinuxError('ioctl', lastErrno());
}

async function changeDevice(fd: number, request: number, offset: number, length: number): Promise<void> {
  const extent = Buffer.alloc(16);
  extent.writeBigUInt64LE(BigInt(offset), 0);
  extent.writeBigUInt64LE(BigInt(length), 8);
  await inBackground('ioctl', (done) => library().ioctlWithPointer.async(fd, request, extent, done));
}

const Socket = { unix: 1, datagram: 2, closeOnExec: 0o2000000, doNotWait: 0x40, noSignal: 0x4000 } as const;

/** Sends one datagram to a Unix socket and does not wait; a path that begins with `@` is an abstract one. */
export function sendDatagram(path: string, text: string): void {
  const { socket, sendto, lastErrno } = library();
  const name = Buffer.from(path.startsWith('@') ? `\0${path.slice(1)}` : path);
  const address = Buffer.concat([Buffer.from([Socket.unix, 0]), name]);
  const fd = socket(Socket.unix, Socket.datagram | Socket.closeOnExec, 0);
  if (fd < 0) throw new LinuxError('socket', lastErrno());
  try {
    const data = Buffer.from(text);
    const flags = Socket.doNotWait | Socket.noSignal;
    const sent = Number(sendto(fd, data, data.length, flags, address, address.length));
    if (sent !== data.length) throw new LinuxError('sendto', lastErrno());
  } finally {
    fs.closeSync(fd);
  }
}

/** What was freed goes back to the system. */
export function trimMalloc(): void {
  library().mallocTrim(0);
}

type Settle = (error: unknown, result: number) => void;

/** The library refuses calls beyond a bound of its own; those above this one wait here. */
const backgroundCalls = 16;
let running = 0;
const waiting: (() => void)[] = [];

/** Runs a call that may take long on the thread pool; a result other than 0 is its failure. */
async function inBackground(syscall: string, start: (done: Settle) => void): Promise<void> {
  if (running >= backgroundCalls)
    await new Promise<void>((resolve) => {
      waiting.push(resolve);
    });
  running += 1;
  try {
    await new Promise<void>((resolve, reject) =>
      start((error, result) => {
        if (error) reject(error instanceof Error ? error : new Error(syscall, { cause: error }));
        // errno is that of this call only inside its callback.
        else if (result !== 0) reject(new LinuxError(syscall, library().lastErrno()));
        else resolve();
      }),
    );
  } finally {
    running -= 1;
    waiting.shift()?.();
  }
}

interface Library {
  flock: (fd: number, operation: number) => number;
  fallocate: KoffiFunc<(fd: number, mode: number, offset: number, length: number) => number>;
  syncFileRange: KoffiFunc<(fd: number, offset: number, length: number, flags: number) => number>;
  fadvise: KoffiFunc<(fd: number, offset: number, length: number, advice: number) => number>;
  lseek: (fd: number, offset: number, whence: number) => number | bigint;
  ioctl: (fd: number, request: number, type: 'void *', value: Buffer) => number;
  ioctlWithPointer: KoffiFunc<(fd: number, request: number, value: Buffer) => number>;
  socket: (domain: number, type: number, protocol: number) => number;
  sendto: (
    fd: number,
    data: Buffer,
    length: number,
    flags: number,
    address: Buffer,
    addressLength: number,
  ) => number | bigint;
  mallocTrim: (pad: number) => number;
  lastErrno: () => number;
}

let loaded: Library | null = null;

/**
 * Loaded at the first call, so that importing this file costs nothing. Offsets are 64 bits on every platform.
 */
function library(): Library {
  loaded ??= undisturbed(load);
  return loaded;
}

function load(): Library {
  const native = createRequire(import.meta.url)('koffi') as typeof koffi;
  const libc = native.load(null);
  return {
    flock: libc.func('int flock(int fd, int operation)'),
    fallocate: libc.func(
      'int fallocate64(int fd, int mode, int64_t offset, int64_t length)',
    ) as Library['fallocate'],
    syncFileRange: libc.func(
      'int sync_file_range(int fd, int64_t offset, int64_t length, unsigned int flags)',
    ) as Library['syncFileRange'],
    fadvise: libc.func(
      'int posix_fadvise64(int fd, int64_t offset, int64_t length, int advice)',
    ) as Library['fadvise'],
    lseek: libc.func('int64_t lseek64(int fd, int64_t offset, int whence)'),
    ioctl: libc.func('int ioctl(int fd, unsigned long request, ...)'),
    // A variadic function cannot be called in the background. On Linux x64 and arm64 a pointer after the
    // "..." travels in the same register as a named argument, so the call may be declared without it.
    ioctlWithPointer: libc.func('ioctl', 'int', [
      'int',
      'unsigned long',
      'void *',
    ]) as Library['ioctlWithPointer'],
    socket: libc.func('int socket(int domain, int type, int protocol)'),
    sendto: libc.func(
      'int64_t sendto(int fd, void *data, size_t length, int flags, void *address, uint32_t addressLength)',
    ),
    mallocTrim: libc.func('int malloc_trim(size_t pad)'),
    lastErrno: () => native.errno(),
  };
}
