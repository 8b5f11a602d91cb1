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
  const before = `${directory}.before`;
  fs.renameSync(directory, before);
  fs.mkdirSync(directory);
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
  };
  volume.mount();
  fs.cpSync(before, directory, { recursive: true, preserveTimestamps: true });
  fs.rmSync(before, { recursive: true });
  t.teardown(async () => {
    await release();
    if (isMountPoint(directory)) volume.unmount();
  });
  return volume;
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
    if (entry.name === 'lock') continue;
    found[path.relative(directory, file)] = entry.isFile() ? describe(file) : 'directory';
  }
  return found;
}

function describe(file: string): string {
  return `${fs.statSync(file).size} ${createHash('sha1').update(fs.readFileSync(file)).digest('hex')}`;
}
