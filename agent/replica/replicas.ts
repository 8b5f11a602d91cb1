// Opens the replicas of a machine's disks: sparse files of our own, or devices chosen by their by-id name.
import fs from 'node:fs';
import { dirname, join } from 'node:path';
import type { FileStore } from '../../core/block/file-store.ts';
import { openFileStore } from '../../core/block/file-store.ts';
import { errnoOf, HomewardError } from '../../core/errors.ts';
import { formatSize } from '../../core/units.ts';
import { devicePath } from './target-device.ts';
import type { MachineFile, ProtectedDisk } from './machine-file.ts';

export function replicaPath(replicas: string, machine: string, disk: ProtectedDisk): string {
  return disk.replica.kind === 'device'
    ? devicePath(disk.replica.byId)
    : join(replicas, machine, `${disk.name}.raw`);
}

/** Makes the sparse files of a new machine; one that exists is kept when it is as large as the disk. */
export function createReplicas(replicas: string, machine: MachineFile): void {
  for (const disk of machine.disks) {
    if (disk.replica.kind !== 'file') continue;
    const path = replicaPath(replicas, machine.id, disk);
    fs.mkdirSync(dirname(path), { recursive: true, mode: 0o750 });
    const fd = fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o640);
    try {
      fs.ftruncateSync(fd, disk.size);
      fs.fsyncSync(fd);
    } catch (error) {
      throw errnoOf(error) === 'EFBIG' ? tooLarge(path, disk, error) : error;
    } finally {
      fs.closeSync(fd);
    }
  }
}

function tooLarge(path: string, disk: ProtectedDisk, cause: unknown): HomewardError {
  const size = formatSize(disk.size);
  const message = `${path}: the file system takes no file as large as disk ${disk.name}, ${size}`;
  const hint = 'Put the replicas on a file system with larger files, such as XFS, or use NAME=SIZE@DEVICE.';
  return new HomewardError('target-too-small', message, { cause, hint });
}

/**
 * A new machine's disks are blank: what its devices carried before must not show through. Large devices
 * take a while.
 */
export async function blankDevices(replicas: string, machine: MachineFile): Promise<void> {
  for (const disk of machine.disks) {
    if (disk.replica.kind !== 'device') continue;
    const store = openReplica(replicaPath(replicas, machine.id, disk), disk);
    try {
      await store.zero(0, disk.size, { punch: true });
      await store.flush();
    } finally {
      await store.close();
    }
  }
}

/** The disks' replicas in order. All are closed again when one cannot be opened. */
export async function openReplicas(replicas: string, machine: MachineFile): Promise<FileStore[]> {
  const stores: FileStore[] = [];
  try {
    for (const disk of machine.disks) stores.push(openReplica(replicaPath(replicas, machine.id, disk), disk));
    return stores;
  } catch (error) {
    for (const store of stores) await store.close();
    throw error;
  }
}

function openReplica(path: string, disk: ProtectedDisk): FileStore {
  let store: FileStore;
  try {
    store = openFileStore(path);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'EBUSY')
      throw new HomewardError('target-mounted', `${path}, replica of ${disk.name}, is in use`, {
        cause: error,
      });
    throw new HomewardError(
      'target-missing',
      `${path}, replica of disk ${disk.name}, cannot be opened (${errno ?? 'unknown'})`,
      { cause: error },
    );
  }
  if (store.size < disk.size) {
    throw new HomewardError(
      'target-too-small',
      `${path} has ${store.size} bytes; disk ${disk.name} has ${disk.size}`,
    );
  }
  return store;
}
