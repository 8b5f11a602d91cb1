// The journal of a machine as its files say it has to be opened.
import { hostFiles } from '../core/files/host-files.ts';
import { limits } from '../core/limits.ts';
import { machineBytes } from '../core/record/record.ts';
import { Journal } from './journal/journal.ts';
import type { MachineContext } from './machine-context.ts';
import { machinePaths } from './machine-paths.ts';
import type { Cursor } from './replica/cursor.ts';
import type { MachineFile } from './replica/machine-file.ts';

export const seedingReason = 'initial sync';

export function openJournal(context: MachineContext, file: MachineFile, cursor: Cursor): Promise<Journal> {
  const { config } = context;
  return Journal.open({
    files: hostFiles,
    clock: context.clock,
    log: context.log,
    merger: context.merger,
    directory: machinePaths(context.retention, file.id).redo,
    machine: machineBytes(file.id),
    generation: cursor.generation,
    segmentBytes: config.segmentBytes,
    reserveBytes: () => (context.noRoom?.has(file.id) ? Infinity : config.retentionReserveBytes),
    syncBytes: limits.syncBytes,
    syncIntervalMs: config.syncIntervalMs,
    derived: machinePaths(context.retention, file.id).derived,
    flooredLsn: cursor.pruned,
    appliedLsn: cursor.lsn,
    durableLsn: cursor.durable,
    openGap: file.seeding
      ? { from: 1, time: Date.parse(file.created) * 1000, reason: seedingReason }
      : cursor.gap,
  });
}
