// Opens the replicas of a machine's disks: sparse files of our own, or devices chosen by their by-id name.
import fs from 'node:fs';
import { dirname, join } from 'node:path';
import type { FileStore } from '../../core/block/file-store.ts';
import { openFileStore } from '../../core/block/file-store.ts';
import { syncDirectorySync } from '../../core/atomic-file.ts';
import { errnoOf, HomewardError } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
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
    makeSparseFile(path, disk);
  }
}

function makeSparseFile(path: string, disk: ProtectedDisk): void {
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
    const store = await openReplica(replicaPath(replicas, machine.id, disk), disk);
    try {
      await store.zero(0, disk.size, { punch: true });
      await store.flush();
    } finally {
      await store.close();
    }
  }
}

/**
 * Makes room for the disks in `machine`, durably: files that are too small grow, those of new disks are
 * made. `stores` follows. Gives back the stores that others took the place of, still open: they may be lent.
 */
export function growReplicas(
  replicas: string,
  machine: { id: string; disks: readonly ProtectedDisk[] },
  stores: FileStore[],
): FileStore[] {
  const outgrown: FileStore[] = [];
  for (const [index, disk] of machine.disks.entries()) {
    const store = stores[index];
    if (store !== undefined && store.size >= disk.size) continue;
    const path = replicaPath(replicas, machine.id, disk);
    if (disk.replica.kind !== 'file')
      throw new HomewardError(
        'target-too-small',
        `${path} is too small for ${disk.name}, ${disk.size} bytes`,
      );
    makeSparseFile(path, disk);
    syncDirectorySync(dirname(path));
    if (store !== undefined) outgrown.push(store);
    stores[index] = openFileStore(path);
  }
  return outgrown;
}

export interface OpenReplicasOptions {
  /** Nothing was ever applied, every byte is in redo: a file that is gone is made again, blank. */
  untouched: boolean;
  log: Log;
}

/** The disks' replicas in order. All are closed again when one cannot be opened. */
export async function openReplicas(
  replicas: string,
  machine: MachineFile,
  { untouched, log }: OpenReplicasOptions,
): Promise<FileStore[]> {
  const stores: FileStore[] = [];
  try {
    for (const disk of machine.disks) {
      const path = replicaPath(replicas, machine.id, disk);
      // Not without its directory: then more is gone than one file, and the volume may be another.
      const gone = disk.replica.kind === 'file' && !fs.existsSync(path) && fs.existsSync(dirname(path));
      if (gone && untouched) {
        makeSparseFile(path, disk);
        syncDirectorySync(dirname(path));
        log.warn('replica-made-again', { machine: machine.id, disk: disk.name, file: path });
      }
      stores.push(await openReplica(path, disk));
    }
    return stores;
  } catch (error) {
    for (const store of stores) await store.close();
    throw error;
  }
}

async function openReplica(path: string, disk: ProtectedDisk): Promise<FileStore> {
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
      disk.replica.kind === 'file' ? { cause: error, hint: fileHint(path) } : { cause: error },
    );
  }
  if (store.size < disk.size) {
    const size = store.size;
    await store.close();
    throw new HomewardError(
      'target-too-small',
      `${path} has ${size} bytes; disk ${disk.name} has ${disk.size}`,
      disk.replica.kind === 'file' ? { hint: fileHint(path) } : {},
    );
  }
  return store;
}

const fileHint = (path: string): string =>
  `Put back ${path} as it was, or mount the volume that holds it, then start again. ` +
  'The other machines go on. If it is lost: `homeward rescue`, given the retention volume and --replicas, ' +
  'recovers the other disks, and of this one what redo and undo tell.';
