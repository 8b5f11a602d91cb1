// Notices that a disk was attached or taken away, and says which machine misses it.
import fs from 'node:fs';
import type { Log } from '../core/log.ts';
import type { Machines } from './machines.ts';
import { DiskWatch } from './registration/disk-watch.ts';
import { devicePath } from './replica/target-device.ts';

/** Ends when what it returns is called. */
export function watchDisks(machines: Machines, log: Log): () => Promise<void> {
  const watch = new DiskWatch({
    log,
    replicas: () =>
      machines
        .list()
        .flatMap(({ name, file }) =>
          file.disks.flatMap(({ name: disk, replica }) =>
            replica.kind === 'device' ? [{ machine: name, disk, path: devicePath(replica.byId) }] : [],
          ),
        ),
    realPath: (path) => {
      try {
        return fs.realpathSync(path);
      } catch {
        return null; // the disk is not there
      }
    },
  });
  return () => watch.stop();
}
