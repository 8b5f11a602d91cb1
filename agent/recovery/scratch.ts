// Where writable views keep what is written to them: DATA/scratch/ID, gone when the view is closed.
import fs from 'node:fs';
import { join } from 'node:path';
import { syncDirectorySync } from '../../core/atomic-file.ts';
import type { BlockStore } from '../../core/block/block-store.ts';
import { openFileStore } from '../../core/block/file-store.ts';
import { OverlayMap, overlayMapBytes } from '../../core/block/overlay-map.ts';
import { openOverlay, OverlayRoom } from '../../core/block/overlay-store.ts';

/** A directory of the data directory of a daemon. */
export class Scratches {
  readonly #data: string;
  readonly #directory: string;

  constructor(data: string) {
    this.#data = data;
    this.#directory = join(data, 'scratch');
  }

  of(id: string): string {
    return join(this.#directory, id);
  }

  /** An empty one, there after a crash as well. */
  make(id: string): string {
    fs.mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    fs.mkdirSync(this.of(id), { mode: 0o700 });
    syncDirectorySync(this.#directory);
    syncDirectorySync(this.#data);
    return this.of(id);
  }

  remove(id: string): void {
    fs.rmSync(this.of(id), { recursive: true, force: true });
  }

  /** Removes all but those of these views; gives back which. */
  removeOthers(ids: ReadonlySet<string>): string[] {
    const found = fs.existsSync(this.#directory) ? fs.readdirSync(this.#directory) : [];
    const others = found.filter((id) => !ids.has(id));
    for (const id of others) this.remove(id);
    return others;
  }
}

export interface ScratchDisk {
  name: string;
  lsn: number;
  base: BlockStore;
}

/**
 * The disks of a view with their changes over them, all within `maxBytes` together. Files that are not there
 * are made: a view counts as open only after that.
 */
export async function openScratch(
  directory: string,
  disks: readonly ScratchDisk[],
  maxBytes: number,
): Promise<BlockStore[]> {
  const room = new OverlayRoom(maxBytes);
  const opened: BlockStore[] = [];
  for (const { name, lsn, base } of disks) {
    const changes = openOrMake(join(directory, name), base.size);
    const marks = openOrMake(join(directory, `${name}.marks`), overlayMapBytes(base.size));
    const map = await OverlayMap.open(marks, { size: base.size, lsn });
    opened.push(await openOverlay({ base, changes, room }, map));
  }
  syncDirectorySync(directory);
  return opened;
}

function openOrMake(path: string, size: number): BlockStore {
  return fs.existsSync(path) ? openFileStore(path) : openFileStore(path, { create: size });
}
