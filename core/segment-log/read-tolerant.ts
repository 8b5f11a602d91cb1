// Reads past blocks that the disk does not give back, so that one of them costs no more than what lies in it.
import { errnoOf } from '../errors.ts';
import type { Files } from '../files/files.ts';
import { syncedBlockBytes } from './group.ts';

/**
 * Blocks that the disk does not give back are read as zeros, which no checksum fits. Gives back how much of
 * `target` the file has.
 */
export async function readTolerant(
  files: Files,
  fd: number,
  target: Buffer,
  position: number,
): Promise<number> {
  try {
    return await files.read(fd, target, position);
  } catch (error) {
    if (errnoOf(error) !== 'EIO') throw error;
  }
  for (let at = 0; at < target.length;) {
    const piece = target.subarray(at, at + syncedBlockBytes - ((position + at) % syncedBlockBytes));
    try {
      const read = await files.read(fd, piece, position + at);
      if (read < piece.length) return at + read;
    } catch (error) {
      if (errnoOf(error) !== 'EIO') throw error;
      piece.fill(0);
    }
    at += piece.length;
  }
  return target.length;
}
