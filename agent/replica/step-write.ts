// Moves replicas over a step: its redo onto them, or its undo.
import { errnoOf, HomewardError } from '../../core/errors.ts';
import { addressDisk, addressOffset } from '../../core/extents/address.ts';
import { ContentKind, type Extent } from '../../core/extents/extent-columns.ts';
import type { Files } from '../../core/files/files.ts';
import { limits } from '../../core/limits.ts';
import { machineMark } from '../../core/record/record.ts';
import { KnownSums } from './known-sums.ts';
import { RecordReader } from './record-reader.ts';
import type { StepCounter } from './signal/step-counts.ts';
import { counterOf, forgetOld } from './signal/step-memory.ts';
import { takeStepRedo } from './step-redo-kept.ts';
import { ReplicaWriter, type ReplicaChange } from './step-replica.ts';
import { EntryContent } from './undo/entry-content.ts';
import { readOrLose, type ReadRecord } from './undo/record-source.ts';
import { scanUndo } from './undo/undo-reader.ts';
import type { DamagedPlace, ReplicaWritten, RollBackJob, WriteReplicaJob } from './undo/undo-step.ts';

/** The newest content of each extent of the step goes to the replicas; damaged redo leaves it unknown. */
export async function writeReplica(files: Files, job: WriteReplicaJob): Promise<ReplicaWritten> {
  const { table, lost } = await takeStepRedo(files, job);
  const counter = counterOf(files, job);
  const known = new KnownSums();
  const redo = new RedoContent(files, job, { damaged: lost, counter, known });
  const written = await onReplicas(files, { change: job, lsn: job.to, known }, async (writer) => {
    for (let index = 0; index < table.count; index++) {
      const extent = table.columns.extent(index);
      const { start, end, kind } = extent;
      if (kind === ContentKind.unknown) await writer.leave(start, end);
      else if (kind === ContentKind.zero) {
        counter?.zeroed(redo.lsnOf(extent), start, end);
        await writer.zero(start, end);
      } else {
        const due = writer.write(start, end, redo.of(extent));
        if (due !== null) await due;
      }
    }
    return redo.damaged;
  });
  forgetOld(files, job);
  return counter === null ? written : { ...written, signal: counter.pieces() };
}

/** What the undo segment has goes to the replicas: they are at its beginning then. */
export async function rollBack(files: Files, job: RollBackJob): Promise<ReplicaWritten> {
  const { undo, machine } = job;
  const change = { ...job, from: undo.from, to: undo.to, flushBytes: limits.applyFlushBytes };
  const known = new KnownSums();
  return onReplicas(files, { change, lsn: undo.from, known }, async (writer) => {
    const damaged: DamagedPlace[] = [];
    const note = (start: number, end: number): void => {
      const offset = addressOffset(start);
      const place = { disk: addressDisk(start), start: offset, end: offset + end - start };
      if (damaged.length < limits.damagedPlaces)
        damaged.push({
          lsn: undo.from,
          file: undo.path,
          ...(end - start > limits.diskBytes ? whole : place),
        });
    };
    for (const entry of scanUndo(files, undo, machine)) {
      const { start, end, kind } = entry;
      if (entry.damage !== null) note(start, end);
      if (kind === ContentKind.unknown) await writer.leave(start, end);
      else if (kind === ContentKind.zero) await writer.zero(start, end);
      else {
        const content = new EntryContent(entry, known);
        for (const [from, to] of content.lost) note(from, to);
        const due = writer.write(start, end, (at, target) => content.copy(at, target));
        if (due !== null) await due;
      }
    }
    return damaged;
  });
}

const whole = { disk: null, start: 0, end: 0 };

async function onReplicas(
  files: Files,
  { change, lsn, known }: { change: ReplicaChange; lsn: number; known: KnownSums },
  write: (writer: ReplicaWriter) => Promise<DamagedPlace[]>,
): Promise<ReplicaWritten> {
  const writer = new ReplicaWriter(files, change, known);
  try {
    const damaged = await write(writer);
    return { ...(await writer.finish(lsn)), damaged };
  } finally {
    await writer.close();
  }
}

/** Reads what extents of the step's table point at, each checked. */
class RedoContent {
  readonly damaged: DamagedPlace[];
  readonly #job: WriteReplicaJob;
  readonly #counter: StepCounter | null;
  readonly #reader: RecordReader;
  #unreadable = 0;
  #extent: Extent | null = null;

  constructor(
    files: Files,
    job: WriteReplicaJob,
    {
      damaged,
      counter,
      known,
    }: { damaged: readonly DamagedPlace[]; counter: StepCounter | null; known: KnownSums },
  ) {
    this.damaged = [...damaged];
    this.#counter = counter;
    this.#job = job;
    this.#reader = new RecordReader(machineMark(Buffer.from(job.machine)), files, known);
  }

  of(extent: Extent): (start: number, target: Buffer) => [number, number][] {
    this.#extent = extent;
    return this.#content;
  }

  lsnOf({ segment, lsnDelta }: Extent): number {
    return this.#job.redo[segment]!.firstLsn + lsnDelta;
  }

  readonly #content = (start: number, target: Buffer): [number, number][] => {
    const { segment, position } = this.#extent!;
    const redo = this.#job.redo[segment]!;
    const disk = addressDisk(start);
    const offset = addressOffset(start);
    const lsn = this.lsnOf(this.#extent!);
    const wanted = { position, lsn, disk, start: offset, end: offset + target.length };
    const lost = readOrLose(this.#read, redo, target, wanted);
    if (lost.length === 0) this.#counter?.wrote(lsn, start, target);
    for (const [from, to] of lost) {
      if (this.damaged.length >= limits.damagedPlaces) break;
      this.damaged.push({ lsn, disk, start: offset + from, end: offset + to, file: redo.path });
    }
    return lost;
  };

  /** What the disk does not give back is damaged; when that is very much, the disk is not there at all. */
  readonly #read: ReadRecord = (file, target, wanted) => {
    try {
      this.#reader.read(file, target, wanted);
      return;
    } catch (error) {
      if (errnoOf(error) !== 'EIO') throw error;
    }
    try {
      this.#reader.read(file, target, wanted);
    } catch (error) {
      if (errnoOf(error) !== 'EIO' || ++this.#unreadable > limits.damagedPlaces) throw error;
      throw new HomewardError('damaged', `${file.path} cannot be read`, { cause: error });
    }
  };
}
