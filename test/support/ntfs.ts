// NTFS as ntfs-3g makes, writes and reads it.
import fs from 'node:fs';
import type { Test } from 'tap';
import { loopDeviceMissing } from './loop-device.ts';
import { mountCommands } from './mounted-disk.ts';
import { skipUnless } from './needs.ts';
import { run, runOk } from './homeward.ts';

export const ntfsMissing =
  skipUnless({
    root: true,
    full: true,
    commands: [...mountCommands, 'mkntfs', 'ntfs-3g'],
    files: ['/dev/fuse'],
  }) ||
  (loopDeviceMissing() ?? false);

export async function makeNtfs(device: string): Promise<void> {
  await runOk('mkntfs', ['--quick', '--quiet', device]);
}

/** Mounted until `unmount` or the end of the test. */
export async function mountNtfs(
  t: Test,
  device: string,
  at: string,
  how: 'ro' | 'rw',
): Promise<() => Promise<void>> {
  fs.mkdirSync(at, { recursive: true });
  await runOk('ntfs-3g', ['-o', how, device, at]);
  t.teardown(() => run('umount', [at]));
  return async () => {
    await runOk('umount', [at]);
  };
}

/** What ntfs-3g has written, which it does to the device at once, is durable below the device. */
export async function syncDevice(device: string): Promise<void> {
  const handle = await fs.promises.open(device, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
