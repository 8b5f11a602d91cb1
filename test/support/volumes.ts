// Volumes that tests mount, fill and take away, and what a directory holds, to see that nothing was touched.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import type { Test } from 'tap';
import { temporaryDirectory } from './temporary.ts';

/** A separate ext4 with a directory of its own inside; what was at `directory` before lies in it. */
export interface MountedVolume {
  mount(): void;
  unmount(): void;
  /** Takes the names away; what is open stays open. */
  detach(): void;
  /** Mounted for reading only, or again for writing. */
  remount(how: 'ro' | 'rw'): void;
  /** As if its disk failed: nothing more can be written until it is mounted anew. */
  fail(): void;
}

/** Puts a new ext4 of `megabytes` in place of `directory`; `release` is called before it is unmounted. */
export function mountInPlace(
  t: Test,
  directory: string,
  megabytes: number,
  release: () => Promise<void>,
): MountedVolume {
  const image = path.join(temporaryDirectory(t), 'volume.ext4');
  fs.writeFileSync(image, '');
  fs.truncateSync(image, megabytes * 1024 * 1024);
  // No blocks kept back for root, so that full is full for everybody.
  execFileSync('mkfs.ext4', ['-q', '-m', '0', image]);
  const volume: MountedVolume = {
    mount: () => {
      execFileSync('mount', ['-o', 'loop', image, directory]);
    },
    unmount: () => {
      execFileSync('umount', [directory]);
    },
    detach: () => {
      execFileSync('umount', ['--lazy', directory]);
    },
    remount: (how) => {
      execFileSync('mount', ['-o', `remount,${how}`, directory]);
    },
    fail: () => {
      execFileSync('mount', ['-o', 'remount,abort', directory]);
    },
  };
  takePlace(t, directory, volume, release);
  return volume;
}

/** The same in memory, which can grow under whoever uses it. */
export interface MemoryVolume {
  grow(megabytes: number): void;
  /** How many files and directories it may hold. */
  limitInodes(most: number): void;
}

export function memoryInPlace(
  t: Test,
  directory: string,
  megabytes: number,
  release: () => Promise<void>,
): MemoryVolume {
  const mount = (size: number, ...how: string[]): void => {
    execFileSync('mount', [...how, '-o', `${how.length > 0 ? '' : 'remount,'}size=${size}M`, directory]);
  };
  const volume = {
    mount: () => mount(megabytes, '-t', 'tmpfs', 'homeward-test'),
    unmount: () => {
      execFileSync('umount', [directory]);
    },
  };
  takePlace(t, directory, volume, release);
  return {
    grow: (more) => mount(more),
    limitInodes: (most) => {
      execFileSync('mount', ['-o', `remount,nr_inodes=${most}`, directory]);
    },
  };
}

/** Mounts a volume where a directory is, with all that lay there; it is undone when the test ends. */
function takePlace(
  t: Test,
  directory: string,
  volume: Pick<MountedVolume, 'mount' | 'unmount'>,
  release: () => Promise<void>,
): void {
  const before = `${directory}.before`;
  fs.renameSync(directory, before);
  fs.mkdirSync(directory);
  volume.mount();
  fs.cpSync(before, directory, { recursive: true, preserveTimestamps: true });
  execFileSync('sync', ['-f', directory]);
  fs.rmSync(before, { recursive: true });
  t.teardown(async () => {
    await release();
    if (isMountPoint(directory)) volume.unmount();
  });
}

function isMountPoint(directory: string): boolean {
  return fs.statSync(directory).dev !== fs.statSync(path.dirname(directory)).dev;
}

/**
 * Every file below `directory` with its size and content. Locks are left out: whoever is refused has to look
 * at them, and they say who holds them.
 */
export function snapshot(directory: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const entry of fs.readdirSync(directory, { recursive: true, withFileTypes: true })) {
    const file = path.join(entry.parentPath, entry.name);
    // What is derived comes and goes.
    if (entry.name === 'lock' || entry.parentPath.endsWith('/derived')) continue;
    found[path.relative(directory, file)] = entry.isFile() ? describe(file) : 'directory';
  }
  return found;
}

function describe(file: string): string {
  return `${fs.statSync(file).size} ${createHash('sha1').update(fs.readFileSync(file)).digest('hex')}`;
}
