// Moves a machine's cursor forward, step by step, with the writing done in a thread of its own.
import { Worker } from 'node:worker_threads';
import { HomewardError, toHomewardError } from '../../core/errors.ts';
import type { Segment } from '../../core/segment-log/segment.ts';
import type { Journal } from '../journal/journal.ts';
import type { StepJob, StepReply } from './apply-worker.ts';
import type { Cursor } from './cursor.ts';

/** The machine whose cursor moves. */
export interface Appliable {
  readonly journal: Journal;
  readonly cursor: Readonly<Cursor>;
  readonly replicas: readonly { fd: number }[];
  moveCursor(change: Partial<Cursor>): void;
  timeOf(lsn: number): number | null;
}

/** A step (from, to] within one segment. */
export interface Step {
  segment: Segment;
  from: number;
  to: number;
}

/** The next step towards `target`: to the end of a segment, to `target`, or to a tag, whichever is first. */
export function nextStep(
  segments: readonly Segment[],
  cursorLsn: number,
  target: number,
  tags: readonly { lsn: number }[],
): Step | null {
  if (cursorLsn >= target) return null;
  const segment = segments.find((candidate) => candidate.lastLsn > cursorLsn);
  if (segment === undefined || segment.precededBy > cursorLsn) return null;
  const tag = tags.find(({ lsn }) => lsn > cursorLsn)?.lsn ?? Infinity;
  return { segment, from: cursorLsn, to: Math.min(segment.lastLsn, target, tag) };
}

type StepDone = Pick<StepReply, 'bytes' | 'unknown'>;

const workerFile = new URL('./apply-worker.ts', import.meta.url);

export class Applier {
  #worker: Worker | null = null;
  #waiting = new Map<number, { resolve(done: StepDone): void; reject(error: Error): void }>();
  #lastId = 0;

  /**
   * Carries out one step; the crash order is in docs/journal-format.md, section 5. When it fails, the step
   * stays open and is
   * to be repeated.
   */
  async apply(machine: Appliable, step: Step): Promise<number> {
    const { journal } = machine;
    machine.moveCursor({ stepTo: step.to });
    step.segment.users += 1;
    try {
      const { bytes, unknown } = await this.#run({
        machine: journal.source.machine,
        from: step.from,
        to: step.to,
        segment: {
          fd: step.segment.fd,
          firstLsn: step.segment.firstLsn,
          end: step.segment.end,
          path: step.segment.path,
        },
        disks: machine.replicas.map(({ fd }) => ({ fd })),
        unknown: machine.cursor.unknown,
      });
      machine.moveCursor({
        lsn: step.to,
        stepTo: null,
        unknown,
        time: machine.timeOf(step.to) ?? machine.cursor.time,
      });
      return bytes;
    } finally {
      step.segment.users -= 1;
    }
  }

  /** Ends the thread; a step under way stays open. */
  async close(): Promise<void> {
    await this.#worker?.terminate();
    this.#worker = null;
  }

  #run(job: Omit<StepJob, 'id'>): Promise<StepDone> {
    const id = ++this.#lastId;
    this.#worker ??= this.#start();
    this.#worker.postMessage({ ...job, id } satisfies StepJob);
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
  }

  #start(): Worker {
    const worker = new Worker(workerFile);
    worker.on('message', ({ id, failed, bytes, unknown }: StepReply) => {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (failed === null) waiting?.resolve({ bytes, unknown });
      else waiting?.reject(new HomewardError(failed.code, failed.message));
    });
    worker.on('error', (error) => this.#end(worker, toHomewardError(error)));
    worker.on('exit', () => this.#end(worker, new HomewardError('interrupted', 'the apply thread ended')));
    return worker;
  }

  #end(worker: Worker, error: Error): void {
    if (this.#worker === worker) this.#worker = null;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}
