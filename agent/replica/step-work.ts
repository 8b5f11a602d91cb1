// The heavy part of steps as functions over the file system seam, for the thread and for whoever calls them.
import type { Files } from '../../core/files/files.ts';
import { hashFile } from '../journal/ledger-hash.ts';
import { fillSums, type FillSumsDone, type FillSumsJob } from './fill-sums.ts';
import { findOnset } from './signal/find-onset.ts';
import { saveUndo } from './step-save.ts';
import { rollBack, writeReplica } from './step-write.ts';
import { buildNode, type NodeJob } from './undo/build-node.ts';
import { mergeUndo } from './undo/merge.ts';
import { splitUndo } from './undo/split.ts';
import type { StepWork } from './undo/undo-step.ts';

/** All that the thread does: steps, and what can wait. */
export interface StepTasks extends StepWork {
  /** A table of neighbouring undo segments. */
  buildNode(job: NodeJob): Promise<void>;
  hashFile(job: { fd: number; bytes: number }): Promise<string>;
  fillSums(job: FillSumsJob): Promise<FillSumsDone>;
}

/** One of the tasks and its job, as it is posted. */
export type StepRequest = {
  [N in keyof StepTasks]: { name: N; job: Parameters<StepTasks[N]>[0] };
}[keyof StepTasks];

/** Each blocks who calls it for as long as it takes, but for flushes. */
export function directStepWork(files: Files): StepTasks {
  return {
    saveUndo: (job) => saveUndo(files, job),
    writeReplica: (job) => writeReplica(files, job),
    rollBack: (job) => rollBack(files, job),
    split: (job) => splitUndo(files, job),
    merge: (job) => mergeUndo(files, job),
    findOnset: (job) => findOnset(files, job),
    buildNode: async (job) => buildNode(files, job),
    hashFile: async ({ fd, bytes }) => hashFile(fd, bytes),
    fillSums: (job) => fillSums(files, job),
  };
}

export function runStepRequest(
  files: Files,
  request: StepRequest,
): Promise<Awaited<ReturnType<StepTasks[keyof StepTasks]>>> {
  const tasks = directStepWork(files);
  switch (request.name) {
    case 'saveUndo':
      return tasks.saveUndo(request.job);
    case 'writeReplica':
      return tasks.writeReplica(request.job);
    case 'rollBack':
      return tasks.rollBack(request.job);
    case 'split':
      return tasks.split(request.job);
    case 'merge':
      return tasks.merge(request.job);
    case 'findOnset':
      return tasks.findOnset(request.job);
    case 'buildNode':
      return tasks.buildNode(request.job);
    case 'hashFile':
      return tasks.hashFile(request.job);
    case 'fillSums':
      return tasks.fillSums(request.job);
  }
}
