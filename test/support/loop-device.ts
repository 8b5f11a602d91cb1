// A real block device for tests: a loop device over a file.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import type { Test } from 'tap';
import { temporaryDirectory } from './temporary.ts';

/** Why there can be no loop device here, or null. */
export function loopDeviceMissing(): string | null {
  if (process.getuid?.() !== 0) return 'needs root to attach a loop device';
  if (!fs.existsSync('/dev/loop-control')) return 'this kernel has no loop devices';
  return null;
}

/** The path of a loop device of `size` bytes, detached when the test ends. */
export function loopDevice(t: Test, size: number): string {
  const file = path.join(temporaryDirectory(t), 'device');
  fs.writeFileSync(file, '');
  fs.truncateSync(file, size);
  const device = execFileSync('losetup', ['--find', '--show', file], { encoding: 'utf8' }).trim();
  t.teardown(() => {
    execFileSync('losetup', ['--detach', device]);
  });
  return device;
}
