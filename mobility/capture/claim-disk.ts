// Opens the file or device behind a captured disk for itself alone; what is in use elsewhere is refused.
import fs from 'node:fs';
import { openFileStore, type FileStore } from '../../core/block/file-store.ts';
import { errnoOf, HomewardError } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import { tryLock } from '../../core/linux.ts';

const loopDevices = '/sys/block';

/** Throws 'no-such-file', 'target-mounted', 'conflict', 'bad-disk-size' or 'not-writable'. */
export async function claimDisk(name: string, path: string): Promise<FileStore> {
  const what = `${path}, disk ${name},`;
  const device = loopDeviceOf(path);
  if (device !== null)
    throw new HomewardError('target-mounted', `${what} is attached to ${device}`, {
      hint: `Detach it (losetup -d ${device}), or protect the device.`,
    });
  const store = openDisk(path, what);
  try {
    if (!tryLock(store.fd)) throw new HomewardError('conflict', `${what} is served already`);
    const { size } = store;
    if (size === 0 || size % limits.diskSectorBytes !== 0 || size > limits.diskBytes) {
      throw new HomewardError('bad-disk-size', `${what} has ${size} bytes`);
    }
    return store;
  } catch (error) {
    await store.close();
    throw error;
  }
}

function openDisk(path: string, what: string): FileStore {
  try {
    return openFileStore(path);
  } catch (error) {
    const errno = errnoOf(error);
    const options = { cause: error };
    if (errno === 'EBUSY') throw new HomewardError('target-mounted', `${what} is in use`, options);
    if (errno === 'ENOENT') throw new HomewardError('no-such-file', `${what} does not exist`, options);
    if (errno === 'EACCES' || errno === 'EPERM' || errno === 'EROFS' || errno === 'EISDIR') {
      throw new HomewardError('not-writable', `${what} cannot be written (${errno})`, options);
    }
    // Neither a file nor a block device, such as /dev/null.
    if (errno === 'EINVAL') throw new HomewardError('not-writable', `${what} is not a disk`, options);
    throw error;
  }
}

/** The loop device that a file is attached to, or null: a file system on it would write behind our back. */
function loopDeviceOf(path: string): string | null {
  try {
    const real = fs.realpathSync(path);
    for (const name of fs.readdirSync(loopDevices)) {
      if (!name.startsWith('loop')) continue;
      if (tryRead(`${loopDevices}/${name}/loop/backing_file`) === real) return `/dev/${name}`;
    }
  } catch (error) {
    // Without /sys nothing can be known; a path that is not there is said when it is opened.
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
  return null;
}

function tryRead(file: string): string | null {
  try {
    return fs.readFileSync(file, 'utf8').trimEnd();
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null; // a device that nothing is attached to
    throw error;
  }
}
