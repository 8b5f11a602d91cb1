// A protected disk as a file system of this host: NBD through nbdfuse to a loop device, mounted; or an image.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import type { Test } from 'tap';
import { run, runOk, until } from './homeward.ts';

export const FileSystem = { ext4: 'ext4', xfs: 'xfs' } as const;
export type FileSystem = (typeof FileSystem)[keyof typeof FileSystem];

/** Programs that this file calls. */
export const mountCommands = [
  'nbdfuse',
  'fusermount3',
  'losetup',
  'mount',
  'umount',
  'mkfs.ext4',
  'e2fsck',
] as const;

/** A loop device over an NBD export; taken apart when the test ends. */
export async function attachNbd(t: Test, directory: string, uri: string): Promise<string> {
  const fuse = path.join(directory, `nbdfuse-${path.basename(fs.mkdtempSync(path.join(directory, 'm')))}`);
  fs.mkdirSync(fuse);
  const file = path.join(fuse, 'disk');
  const child = spawn('nbdfuse', [file, uri], { stdio: ['ignore', 'ignore', 'inherit'] });
  const ended = once(child, 'exit');
  t.teardown(async () => {
    await run('fusermount3', ['-u', '-z', fuse]); // which ends nbdfuse
    await ended;
  });
  await until('nbdfuse to show the disk', () => {
    if (child.exitCode !== null) throw new Error(`nbdfuse ended with ${child.exitCode}`);
    return fs.existsSync(file) && fs.statSync(file).size > 0;
  });
  return attachFile(t, file);
}

/** A loop device over a file. */
export async function attachFile(t: Test, file: string): Promise<string> {
  const device = (await runOk('losetup', ['--find', '--show', file])).trim();
  t.teardown(async () => {
    await run('losetup', ['--detach', device]);
  });
  return device;
}

export async function makeFileSystem(kind: FileSystem, device: string): Promise<void> {
  await runOk(`mkfs.${kind}`, ['-q', device]);
}

/** Mounted until `unmount` or the end of the test. Mounting replays the file system's journal. */
export async function mount(
  t: Test,
  kind: FileSystem,
  device: string,
  at: string,
): Promise<() => Promise<void>> {
  fs.mkdirSync(at, { recursive: true });
  // Two images of one disk carry one UUID, which XFS would refuse.
  await runOk('mount', ['-t', kind, ...(kind === 'xfs' ? ['-o', 'nouuid'] : []), device, at]);
  t.teardown(() => run('umount', [at]));
  return () => unmount(device, at);
}

/**
 * Unmounts and waits for the device: a test beside that has made a mount namespace of its own (`unshare -m`)
 * holds the mount on there, and until it ends the journal of the file system is not clean.
 */
export async function unmount(device: string, at: string): Promise<void> {
  await runOk('umount', [at]);
  await until(`${device} to be free`, () => isFree(device), 120_000);
}

/** The kernel gives a block device exclusively to nobody while it is mounted in any namespace. */
function isFree(device: string): boolean {
  try {
    fs.closeSync(fs.openSync(device, fs.constants.O_RDONLY | fs.constants.O_EXCL));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EBUSY') return false;
    throw error;
  }
}

/** What the file system's checker says about an unmounted one: its exit status, 0 when nothing is wrong. */
export async function checkFileSystem(
  kind: FileSystem,
  device: string,
): Promise<{ status: number | null; said: string }> {
  const [program, args] =
    kind === 'ext4' ? (['e2fsck', ['-fn', device]] as const) : (['xfs_repair', ['-n', device]] as const);
  const { status, out, err } = await run(program, args);
  return { status, said: out + err };
}
