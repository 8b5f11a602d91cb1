// The thread of test/integration/view-live.test.ts that moves a replica on under a view: real undo segments,
// steps that open and end and are rolled back, each told to the view as the master target does.
import fs from 'node:fs';
import { join } from 'node:path';
import { parentPort, workerData, type MessagePort } from 'node:worker_threads';
import { ContentKind } from '../../core/extents/extent-columns.ts';
import { hostFiles } from '../../core/files/host-files.ts';
import {
  firstUndoOrdinal,
  type PlanMessage,
  type ViewPlan,
  type ViewSegment,
} from '../../agent/replica/view-content.ts';
import { buildUndoTable } from '../../agent/replica/undo/undo-reader.ts';
import type { LayerSource } from '../../agent/replica/undo/undo-step.ts';
import { UndoWriter } from '../../agent/replica/undo/undo-writer.ts';
import { seededRandom, type Random } from './random.ts';

export interface WriterJob {
  directory: string;
  replica: string;
  size: number;
  machine: Uint8Array;
  seed: number;
  stepsPerRound: number;
  /** Int32s: the counter of the machine, rounds done, reads done by the view. */
  shared: SharedArrayBuffer;
  /** The mistake: the counter is raised after the replica was written. */
  late: boolean;
}
export const sharedAt = { counter: 0, rounds: 1, reads: 2 } as const;

interface Change {
  offset: number;
  bytes: Buffer;
}
interface Step {
  source: LayerSource;
  segment: ViewSegment;
  old: Change[];
}

class Writer {
  readonly #job: WriterJob;
  readonly #random: Random;
  readonly #shared: Int32Array;
  readonly #fd: number;
  /** Of this round, oldest first. */
  #steps: Step[] = [];
  #cursor = 1;
  #made = 0;
  readonly #opened: number[] = [];

  constructor(job: WriterJob) {
    this.#job = job;
    this.#random = seededRandom(job.seed);
    this.#shared = new Int32Array(job.shared);
    this.#fd = fs.openSync(job.replica, 'r+');
  }

  async round(port: MessagePort): Promise<void> {
    for (const fd of this.#opened.splice(0)) fs.closeSync(fd);
    this.#steps = [];
    for (let step = 0; step < this.#job.stepsPerRound; step++) {
      if (this.#steps.length > 0 && this.#random.chance(0.25)) await this.#rollBack(port);
      else await this.#apply(port);
    }
    port.close();
    Atomics.add(this.#shared, sharedAt.rounds, 1);
  }

  async #apply(port: MessagePort): Promise<void> {
    const changes = this.#changes();
    const old = changes.map(({ offset, bytes }) => ({ offset, bytes: this.#read(offset, bytes.length) }));
    this.#steps.push(await this.#save(old));
    await this.#change(port, changes, () => {
      this.#cursor += 1;
    });
  }

  async #rollBack(port: MessagePort): Promise<void> {
    await this.#change(port, this.#steps.at(-1)!.old, () => {
      this.#cursor -= 1;
      this.#steps.pop();
    });
  }

  /** Opens a step, which the plan has already, writes, ends it. */
  async #change(port: MessagePort, changes: readonly Change[], ended: () => void): Promise<void> {
    const counter = Atomics.load(this.#shared, sharedAt.counter) + 1;
    port.postMessage({ plan: this.#plan(counter) } satisfies PlanMessage);
    if (!this.#job.late) Atomics.store(this.#shared, sharedAt.counter, counter);
    for (const { offset, bytes } of changes) {
      const isZero = bytes.every((byte) => byte === 0);
      if (isZero && this.#random.chance(0.5)) await hostFiles.zero(this.#fd, offset, bytes.length);
      else hostFiles.write(this.#fd, [bytes], offset);
    }
    if (this.#job.late || this.#random.chance(0.5)) this.#awaitReads(4);
    if (this.#job.late) Atomics.store(this.#shared, sharedAt.counter, counter);
    ended();
    port.postMessage({ ended: counter + 1 } satisfies PlanMessage);
    Atomics.store(this.#shared, sharedAt.counter, counter + 1);
  }

  #plan(counter: number): ViewPlan {
    return {
      counter,
      redo: [],
      floor: { segment: 0, lsnDelta: -1 },
      undo: this.#steps.map(({ source }) => source),
      segments: this.#steps.map(({ segment }) => segment),
      unknown: [],
    };
  }

  /** Disjoint and in order; zeros one time in four. */
  #changes(): Change[] {
    const changes: Change[] = [];
    for (let at = this.#random.below(this.#job.size / 2); at < this.#job.size;) {
      const unit = this.#random.pick([512, 4096]);
      const offset = Math.ceil(at / unit) * unit;
      const length = unit * (1 + this.#random.below(8));
      if (offset + length > this.#job.size) break;
      const bytes = this.#random.chance(0.25) ? Buffer.alloc(length) : this.#random.bytes(length);
      changes.push({ offset, bytes });
      at = offset + length + this.#random.below(this.#job.size / 2);
    }
    return changes.length > 0 ? changes : [{ offset: 0, bytes: this.#random.bytes(512) }];
  }

  async #save(old: readonly Change[]): Promise<Step> {
    const { directory, machine } = this.#job;
    const [from, to, ordinal] = [this.#cursor, this.#cursor + 1, firstUndoOrdinal + this.#made];
    const path = join(directory, `${this.#made}.seg`);
    const tablePath = join(directory, `${this.#made}.table`);
    this.#made += 1;
    const note = { from, to, fromTime: 1, toTime: 2, tag: null, point: true };
    // What is not on disk when the test ends need not be.
    const files = { ...hostFiles, sync: () => Promise.resolve() };
    const writer = UndoWriter.begin(files, { path, machine, generation: 1, note, tablePath });
    for (const { offset, bytes } of old) {
      const isZero = bytes.every((byte) => byte === 0);
      if (isZero) writer.add(0, offset, bytes.length, ContentKind.zero, null);
      else
        writer.add(0, offset, bytes.length, ContentKind.data, (target, start) => {
          bytes.copy(target, 0, start - offset, start - offset + target.length);
        });
    }
    const { bytes } = await writer.finish();
    const fd = this.#open(path);
    const undo = { fd, path, from, to, bytes };
    const segment = { ordinal, fd, path, firstLsn: from, precededBy: from, lastLsn: to, end: bytes };
    const way = this.#random.below(3);
    const source: LayerSource =
      way === 0
        ? { kind: 'undo-scan', ordinal }
        : way === 1
          ? { kind: 'memory', table: buildUndoTable(hostFiles, undo, machine, ordinal).transferable() }
          : { kind: 'file', path: tablePath, fd: this.#open(tablePath), ordinals: [ordinal] };
    return { source, segment, old: [...old] };
  }

  #open(path: string): number {
    const fd = fs.openSync(path, 'r');
    fs.unlinkSync(path);
    this.#opened.push(fd);
    return fd;
  }

  #read(offset: number, length: number): Buffer {
    const bytes = Buffer.alloc(length);
    fs.readSync(this.#fd, bytes, 0, length, offset);
    return bytes;
  }

  #awaitReads(count: number): void {
    const from = Atomics.load(this.#shared, sharedAt.reads);
    for (;;) {
      const now = Atomics.load(this.#shared, sharedAt.reads);
      if (now - from >= count) return;
      Atomics.wait(this.#shared, sharedAt.reads, now);
    }
  }
}

if (parentPort !== null) {
  const writer = new Writer(workerData as WriterJob);
  parentPort.on('message', (port: MessagePort) => {
    void writer.round(port);
  });
}
