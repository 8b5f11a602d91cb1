// A thread of a recovery: takes stretches of a disk as long as there are any, and copies, compares or counts
// them.
import { parentPort, workerData } from 'node:worker_threads';
import fs from 'node:fs';
import { assert, toHomewardError, type ErrorCode } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import type { DamagedRead, ViewContent } from '../replica/view-content.ts';
import { ViewReader } from '../replica/view-reader.ts';
import { compareStretch } from './formats/compare-stretch.ts';
import { DiskSource, type ByteRange } from './formats/disk-source.ts';
import { openImage } from './formats/image-reader.ts';
import { Qcow2Writer } from './formats/qcow2-writer.ts';
import { RawWriter } from './formats/raw-writer.ts';
import {
  compareFirstBit,
  SharedTurns,
  type DiskWriter,
  type ImageFormat,
  type Stretch,
  type StretchDone,
} from './formats/stretch.ts';
import { VmdkWriter } from './formats/vmdk-writer.ts';

/** `fd` is lent, open for reading and writing. */
export interface ExportTask {
  kind: 'copy' | 'compare' | 'count';
  disk: number;
  format: ImageFormat;
  fd: number;
  allowDamaged: boolean;
  /** Indexes of stretches, in order; `compareFirst` added where what is there may be right. */
  todo: Uint32Array<SharedArrayBuffer>;
  turns: SharedArrayBuffer;
}

export type ExportReply =
  | { done: StretchDone }
  | { differing: { index: number; ranges: ByteRange[] } }
  | { counted: { index: number; dataBytes: number } }
  | { idle: true }
  | { found: DamagedRead }
  | { failed: { code: ErrorCode; message: string; hint: string } };

const say = (reply: ExportReply): void => parentPort?.postMessage(reply);
const reader = new ViewReader(workerData as ViewContent, { damaged: (found) => say({ found }) });

parentPort?.on('message', (task: ExportTask) => {
  carryOut(task).then(
    () => say({ idle: true }),
    (error: unknown) => {
      const { code, message, hint } = toHomewardError(error);
      say({ failed: { code, message, hint } });
    },
  );
});

async function carryOut(task: ExportTask): Promise<void> {
  const { disk: index, allowDamaged } = task;
  const disk = reader.content.disks[index];
  assert(disk !== undefined, 'the view has the disk');
  const { name, size } = disk;
  const source = new DiskSource({ reader, disk: { index, name, size }, allowDamaged });
  const turns = new SharedTurns(task.turns);
  const work = workOf(task, source, turns);
  for (let at = turns.nextStretch(); at < task.todo.length; at = turns.nextStretch())
    say(await work(stretchAt(task.todo[at] ?? 0, size)));
}

function stretchAt(entry: number, size: number): Stretch {
  const index = entry % compareFirstBit;
  const from = index * limits.recoveryStretchBytes;
  const to = Math.min(from + limits.recoveryStretchBytes, size);
  return { index, from, to, compareFirst: entry >= compareFirstBit };
}

type Work = (stretch: Stretch) => ExportReply | Promise<ExportReply>;

function workOf(task: ExportTask, source: DiskSource, turns: SharedTurns): Work {
  if (task.kind === 'count') {
    return ({ index, from, to }) => {
      const runs = source.dataRuns(from, to, 1);
      return { counted: { index, dataBytes: runs.reduce((sum, [start, end]) => sum + end - start, 0) } };
    };
  }
  if (task.kind === 'compare') {
    const image = openImage(task.format, task.fd, source.size, fs.fstatSync(task.fd).size);
    return (stretch) => ({
      differing: { index: stretch.index, ranges: compareStretch(source, image, stretch) },
    });
  }
  const writer = writerOf(task, source, turns);
  return async (stretch) => {
    const written = await writer.write(stretch);
    return { done: { index: stretch.index, ...written, damaged: source.takeDamaged() } };
  };
}

function writerOf({ format, fd, todo }: ExportTask, source: DiskSource, turns: SharedTurns): DiskWriter {
  if (format === 'qcow2') return new Qcow2Writer(source, fd, turns);
  if (format === 'vmdk') return new VmdkWriter(source, fd, turns, (todo[0] ?? 0) % compareFirstBit);
  return new RawWriter(source, fd);
}
