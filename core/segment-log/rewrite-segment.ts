// Puts other content under the name of a complete segment: whoever reads the old file goes on with it.
import { dirname, join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { errnoOf } from '../errors.ts';
import type { Files } from '../files/files.ts';
import { listFrames } from './frames.ts';
import { GroupPlaces } from './group-places.ts';
import type { Segment } from './segment.ts';

export interface RewriteRequest {
  files: Files;
  /** UUID, 16 bytes. */
  machine: Buffer;
  segment: Segment;
  /** All of the file: the same records, and as many bytes. */
  content: Buffer;
  /** What has to be durable before the new content has the name. */
  before(): Promise<void>;
  /**
   * Takes the new segment in place of the old one, in the turn in which it gets the name; when it throws,
   * nothing has been taken, and the old file is read on.
   */
  replaced(next: Segment): void;
}

/** No log takes a spare of this number into use, and a start removes what a crash has left. */
const temporaryName = 'spare-0.new';
const writeBytes = 1024 * 1024;

/**
 * Crash order: 1 the content under another name, synced · 2 `before` · 3 renamed over the old one, and the
 * directory synced. Whatever fails before 3, the old file stays as it is; when only the directory cannot be
 * synced, a power cut may bring it back. One at a time in a directory.
 */
export async function rewriteSegment(request: RewriteRequest): Promise<void> {
  const { files, machine, segment, content, before, replaced } = request;
  const directory = dirname(segment.path);
  const path = join(directory, temporaryName);
  removeIfThere(files, path);
  const fd = files.create(path);
  try {
    files.allocate(fd, segment.bytes);
    for (let at = 0; at < content.length; at += writeBytes) {
      files.write(fd, [content.subarray(at, at + writeBytes)], at);
      await nextTurn(); // a disk that is busy slows writes down: others must not wait for all of them
    }
    await files.sync(fd);
    await before();
    files.rename(path, segment.path);
  } catch (error) {
    files.close(fd);
    removeIfThere(files, path);
    throw error;
  }
  const { frames } = listFrames(content.subarray(0, segment.end), machine, segment.firstLsn);
  const places = new GroupPlaces();
  for (const { firstLsn, position, records } of frames) if (records > 0) places.add(firstLsn, position);
  const identity = frames[0]?.identity.toString('hex') ?? segment.identity;
  try {
    replaced({ ...segment, fd, identity, places, users: 0 });
  } catch (error) {
    files.close(fd);
    throw error;
  }
  await files.syncDirectory(directory);
}

function removeIfThere(files: Files, path: string): void {
  try {
    files.unlink(path);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
}
