// The one place where short reads and writes are carried on until everything is transferred.
import fs from 'node:fs';
import { systemError } from './system-error.ts';

/** The most buffers that one writev takes (IOV_MAX of Linux). */
const buffersPerCall = 1024;

/** Starts a transfer of some buffers at a position, and says how many bytes went. */
type WriteSome = (buffers: readonly Uint8Array[], position: number) => number;

/** Writes all buffers one after another at `position`. */
export function writeFullySync(fd: number, buffers: readonly Uint8Array[], position: number): void {
  writeAllSync((some, at) => fs.writevSync(fd, some, at), buffers, position);
}

/** Calls `write` until all buffers went; given apart from the file so that short writes can be tested. */
export function writeAllSync(write: WriteSome, buffers: readonly Uint8Array[], position: number): void {
  let rest = withoutEmpty(buffers);
  let at = position;
  while (rest.length > 0) {
    const written = write(rest.length > buffersPerCall ? rest.slice(0, buffersPerCall) : rest, at);
    if (written <= 0) throw stuck('writev');
    rest = dropWritten(rest, written);
    at += written;
  }
}

/** Writes all of `source` at `position`. */
export async function writeFully(fd: number, source: Uint8Array, position: number): Promise<void> {
  let done = 0;
  while (done < source.length) {
    const written = await writeOnce(fd, source, done, position + done);
    if (written <= 0) throw stuck('write');
    done += written;
  }
}

/** Fills `target` from `position`; returns how many bytes there were, fewer only at the end of the file. */
export function readFullySync(fd: number, target: Uint8Array, position: number): number {
  let done = 0;
  while (done < target.length) {
    const read = fs.readSync(fd, target, done, target.length - done, position + done);
    if (read === 0) break;
    done += read;
  }
  return done;
}

/** As `readFullySync`, on the thread pool. */
export async function readFully(fd: number, target: Uint8Array, position: number): Promise<number> {
  let done = 0;
  while (done < target.length) {
    const read = await readOnce(fd, target, done, position + done);
    if (read === 0) break;
    done += read;
  }
  return done;
}

function dropWritten(buffers: readonly Uint8Array[], written: number): readonly Uint8Array[] {
  let index = 0;
  let left = written;
  while (index < buffers.length && left >= (buffers[index]?.length ?? 0)) {
    left -= buffers[index]?.length ?? 0;
    index += 1;
  }
  const rest = buffers.slice(index);
  if (left > 0 && rest[0]) rest[0] = rest[0].subarray(left);
  return rest;
}

/** An empty buffer would look like a write that does not get on. */
function withoutEmpty(buffers: readonly Uint8Array[]): readonly Uint8Array[] {
  if (!buffers.some((buffer) => buffer.length === 0)) return buffers;
  return buffers.filter((buffer) => buffer.length > 0);
}

function writeOnce(fd: number, source: Uint8Array, from: number, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.write(fd, source, from, source.length - from, position, (error, written) => {
      if (error) reject(error);
      else resolve(written);
    });
  });
}

function readOnce(fd: number, target: Uint8Array, from: number, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.read(fd, target, from, target.length - from, position, (error, read) => {
      if (error) reject(error);
      else resolve(read);
    });
  });
}

function stuck(syscall: string): Error {
  return systemError('EIO', syscall, '(nothing was written)');
}
