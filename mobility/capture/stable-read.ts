// Reads of a captured disk that no write overlaps, from the reading until what was read is numbered.
import { limits } from '../../core/limits.ts';
import { extentLock } from './extent-locks.ts';
import type { FrontDisk } from './front-disk.ts';

/**
 * Tries beside the writes first; one that was in flight in the extent means another try, and in the end the
 * writes have to wait for the reader.
 */
export async function readStable(
  disk: FrontDisk,
  offset: number,
  target: Buffer,
  use: (data: Buffer) => void,
): Promise<void> {
  const end = offset + target.length;
  for (let tries = 0; tries < limits.stableReadTries; tries += 1) {
    const read = (): Promise<void> => disk.store.read(target, offset);
    if (await whileUndisturbed(disk, offset, end, read, () => use(target))) return;
    await new Promise<void>((resolve) => {
      disk.locks.settled(offset, end, resolve);
    });
  }
  const gate = Promise.withResolvers<void>();
  const lock = extentLock(offset, end, gate.resolve);
  if (!disk.locks.take(lock)) await gate.promise;
  try {
    await disk.store.read(target, offset);
    use(target);
  } finally {
    disk.locks.release(lock);
  }
}

/** `use` is called if all of the extent is known to read as zeros; the answer says whether it was. */
export async function zeroStable(
  disk: FrontDisk,
  offset: number,
  length: number,
  use: () => void,
): Promise<boolean> {
  let zero = false;
  const look = async (): Promise<void> => {
    const extents = await disk.store.extents(offset, length);
    zero = extents.every((extent) => extent.zero);
  };
  return await whileUndisturbed(disk, offset, offset + length, look, () => {
    if (zero) use();
    return zero;
  });
}

/**
 * Whether `use` was called, behind `look` in one turn, with nothing in flight in the extent all the while.
 */
async function whileUndisturbed(
  disk: FrontDisk,
  start: number,
  end: number,
  look: () => Promise<void>,
  use: () => boolean | void,
): Promise<boolean> {
  const watch = disk.locks.watch(start, end);
  try {
    if (watch.disturbed) return false;
    await look();
    if (watch.disturbed) return false;
    return use() ?? true;
  } finally {
    disk.locks.unwatch(watch);
  }
}
