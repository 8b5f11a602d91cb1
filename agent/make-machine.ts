// Makes the files of a machine that was not there, and takes them away again.
import fs from 'node:fs';
import { join } from 'node:path';
import { syncDirectorySync } from '../core/atomic-file.ts';
import { formatTime } from '../core/clock.ts';
import type { MachineContext } from './machine-context.ts';
import { machinePaths } from './machine-paths.ts';
import { writeCursor } from './replica/cursor.ts';
import { writeMachineFile, type MachineFile } from './replica/machine-file.ts';
import { blankDevices, createReplicas } from './replica/replicas.ts';

export type NewMachine = Omit<MachineFile, 'created'>;

/** Crash order: `machine.json` comes last; without it the directory counts for nothing. */
export async function makeMachineFiles(context: MachineContext, machine: NewMachine): Promise<void> {
  const { clock, retention, replicas } = context;
  const file: MachineFile = { ...machine, created: formatTime(clock.now()) };
  const paths = machinePaths(retention, file.id);
  if (file.path === 'chain') setReplicasAside(context, file.id);
  for (const directory of [paths.redo, paths.undo, paths.derived])
    fs.mkdirSync(directory, { recursive: true, mode: 0o750 });
  createReplicas(replicas, file);
  if (!file.seeding) await blankDevices(replicas, file);
  writeCursor(paths.cursorFile, {
    lsn: 0,
    stepTo: null,
    pruned: 0,
    pin: null,
    // The source counts from 1: its first sync may begin at any LSN.
    generation: file.path === 'chain' ? 0 : 1,
    durable: 0,
    firstPoint: file.seeding ? null : 0,
    time: clock.now(),
    tag: null,
    gap: null,
    unknown: [],
  });
  writeMachineFile(paths.machineFile, file);
  syncDirectorySync(retention);
}

/** One rename makes a machine nobody's; a crash after it leaves files only. */
export function removeMachineFiles({ retention, replicas }: MachineContext, id: string): void {
  const { directory } = machinePaths(retention, id);
  const removed = `${directory}.removed`;
  if (fs.existsSync(directory)) fs.renameSync(directory, removed);
  fs.rmSync(removed, { recursive: true, force: true });
  fs.rmSync(join(replicas, id), { recursive: true, force: true });
}

/**
 * The id was given by the source, so replicas of an earlier life may lie there. The first sync leaves out
 * zeros where it finds an empty file, so it must find one; and what lies there may be all that is left of
 * a lost volume.
 */
function setReplicasAside({ replicas, log }: MachineContext, id: string): void {
  const directory = join(replicas, id);
  if (!fs.existsSync(directory)) return;
  const aside = `${directory}.found-${Date.now()}`;
  fs.renameSync(directory, aside);
  log.warn('replicas-set-aside', { machine: id, aside });
}
