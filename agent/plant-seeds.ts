// Gives new replicas the content of their seeds: old or carried copies of the disks, so that only what
// differs is sent.
import type { AssignedSeed } from '../core/identity/assignment.ts';
import { HomewardError } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import { copySeed } from './ingest/pull/seed.ts';
import type { Machine } from './machine.ts';

export interface PlantSeedsOptions {
  machine: Machine;
  seeds: readonly AssignedSeed[];
  /** Hears what is being done. */
  tell(what: string): void;
  signal: AbortSignal;
  log: Log;
}

/**
 * Once for each disk, before the first record: a machine that has records keeps what it has. A copy that
 * was interrupted starts over. Throws 'no-such-disk', 'no-such-file', 'machine-differs' for a seed larger
 * than its disk, 'tool-missing' ….
 */
export async function plantSeeds({ machine, seeds, tell, signal, log }: PlantSeedsOptions): Promise<void> {
  const { file, journal } = machine;
  for (const seed of seeds) {
    if (journal.headLsn > 0 || machine.cursor.lsn > 0) return;
    if (file.seeded?.includes(seed.disk)) continue;
    const index = file.disks.findIndex(({ name }) => name === seed.disk);
    const disk = file.disks[index];
    const replica = machine.replicas[index];
    if (disk === undefined || replica === undefined)
      throw new HomewardError(
        'no-such-disk',
        `${machine.name} has no disk "${seed.disk}" for the seed ${seed.path}`,
      );
    tell(`the seed of ${disk.name} is being copied`);
    log.info('seed-begins', { machine: machine.name, disk: disk.name, path: seed.path, format: seed.format });
    const bytes = await copySeed({
      seed,
      disk,
      replica,
      path: machine.replicaPathOf(disk),
      signal,
      progress: (part) => tell(`the seed of ${disk.name} is being copied, ${Math.floor(part * 100)} %`),
    });
    machine.changeFile({ seeded: [...(file.seeded ?? []), disk.name] });
    log.info('seed-done', { machine: machine.name, disk: disk.name, bytes });
  }
}
