// Copies a seed into the replica of a disk: a raw image or device piece by piece, other formats with
// qemu-img.
import { execFile } from 'node:child_process';
import { hash } from 'node:crypto';
import fs from 'node:fs';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { openFileStore, type FileStore } from '../../../core/block/file-store.ts';
import { errnoOf, HomewardError } from '../../../core/errors.ts';
import type { AssignedSeed } from '../../../core/identity/assignment.ts';
import { limits } from '../../../core/limits.ts';
import { missingQemuImg, runQemuImg } from '../../recovery/qemu-img.ts';

export interface CopySeedOptions {
  seed: AssignedSeed;
  disk: { name: string; size: number };
  /** Of at least the disk's size; what it has is taken away first. */
  replica: FileStore;
  /** Its path. */
  path: string;
  signal: AbortSignal;
  /** From 0 to 1. */
  progress(part: number): void;
}

/** Gives back the seed's size; everything is durable then, and what lies behind it is zeros. */
export async function copySeed(options: CopySeedOptions): Promise<number> {
  const { seed, disk, replica } = options;
  const size = await seedSize(seed, disk.size, options.signal);
  await replica.zero(0, replica.size, { punch: true });
  if (isRaw(seed)) await copyRaw(options, size);
  else await convertInto(options);
  await replica.flush();
  return size;
}

/** Reads a little of it, to know how long all of it will take. Throws what `copySeed` would. */
export async function checkSeed(
  seed: AssignedSeed,
  diskSize: number,
  signal: AbortSignal,
): Promise<{ disk: string; bytes: number; storedBytes: number; seconds: number }> {
  const bytes = await seedSize(seed, diskSize, signal);
  const { blocks } = await fs.promises.stat(seed.path);
  const storedBytes = seed.format === 'device' ? bytes : Math.min(bytes, blocks * 512);
  const perSecond = await readRate(seed.path);
  // It is read and written, then the replica and the disk are read and hashed.
  return { disk: seed.disk, bytes, storedBytes, seconds: Math.ceil((3 * storedBytes) / perSecond) };
}

/** Bytes a second, read and hashed. */
async function readRate(path: string): Promise<number> {
  const file = await fs.promises.open(path, 'r');
  try {
    const began = performance.now();
    const { bytesRead, buffer } = await file.read(Buffer.alloc(limits.exportBufferBytes), { position: 0 });
    hash('sha256', buffer, 'buffer');
    return Math.max(bytesRead, 1) / Math.max((performance.now() - began) / 1000, 1e-6);
  } finally {
    await file.close();
  }
}

const isRaw = ({ format }: AssignedSeed): boolean => format === 'raw' || format === 'device';

async function seedSize(seed: AssignedSeed, diskSize: number, signal: AbortSignal): Promise<number> {
  refuseMissing(seed);
  const size = isRaw(seed) ? await storedSize(seed.path) : await virtualSize(seed, signal);
  if (size <= diskSize) return size;
  const room = `disk ${seed.disk}, which has ${diskSize}`;
  const message = `the seed ${seed.path} has ${size} bytes, more than ${room}`;
  throw new HomewardError('machine-differs', message, { hint: 'Give the copy that belongs to this disk.' });
}

function refuseMissing({ path }: AssignedSeed): void {
  try {
    fs.accessSync(path, fs.constants.R_OK);
  } catch (error) {
    const what = errnoOf(error) === 'ENOENT' ? 'there is no seed' : 'this host may not read the seed';
    const code = errnoOf(error) === 'ENOENT' ? 'no-such-file' : 'not-writable';
    const hint = 'Put it there, readable for the user that Homeward runs as; it is tried again by itself.';
    throw new HomewardError(code, `${what} ${path}`, { cause: error, hint });
  }
}

async function storedSize(path: string): Promise<number> {
  const store = openFileStore(path, { readOnly: true });
  await store.close();
  return store.size;
}

async function virtualSize({ path, format }: AssignedSeed, signal: AbortSignal): Promise<number> {
  const args = ['info', '--output=json', '-f', format, path];
  try {
    const { stdout } = await promisify(execFile)('qemu-img', args, { signal });
    const info: unknown = JSON.parse(stdout);
    const size =
      typeof info === 'object' && info !== null && 'virtual-size' in info ? info['virtual-size'] : null;
    if (typeof size === 'number' && Number.isSafeInteger(size)) return size;
    throw new HomewardError('tool-failed', `qemu-img does not say how large ${path} is`);
  } catch (error) {
    if (error instanceof HomewardError) throw error;
    if (errnoOf(error) === 'ENOENT') throw missingQemuImg(error);
    const message = error instanceof Error ? error.message : String(error);
    throw new HomewardError('tool-failed', `qemu-img cannot read the seed: ${message}`, { cause: error });
  }
}

async function copyRaw({ seed, replica, signal, progress }: CopySeedOptions, size: number): Promise<void> {
  const source = openFileStore(seed.path, { readOnly: true });
  const buffer = Buffer.allocUnsafeSlow(limits.exportBufferBytes);
  try {
    let unflushed = 0;
    for (let at = 0; at < size; at += limits.exportStretchBytes) {
      const stretch = Math.min(limits.exportStretchBytes, size - at);
      let offset = at;
      for (const { length, zero } of await source.extents(at, stretch)) {
        for (let done = 0; !zero && done < length; done += buffer.length) {
          signal.throwIfAborted();
          const piece = buffer.subarray(0, Math.min(buffer.length, length - done));
          await source.read(piece, offset + done);
          if (!isZero(piece)) await replica.write(piece, offset + done);
          unflushed += piece.length;
          progress((offset + done) / size);
        }
        offset += length;
        if (unflushed < limits.exportFlushBytes) continue;
        await replica.flush();
        unflushed = 0;
      }
    }
  } finally {
    await source.close();
  }
}

const zeros = Buffer.alloc(limits.exportBufferBytes);
const isZero = (data: Buffer): boolean => data.equals(zeros.subarray(0, data.length));

/** `-n`: into the file that is there, which is as large as the disk. */
async function convertInto({ seed, path, signal, progress }: CopySeedOptions): Promise<void> {
  const args = ['convert', '-p', '-n', '--target-is-zero', '-f', seed.format, '-O', 'raw', seed.path, path];
  await runQemuImg({ args, directory: dirname(path), signal, progress });
}
