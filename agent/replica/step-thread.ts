// Carries out the work of steps in a thread of its own: one for all machines, one job at a time, steps first.
import { Worker } from 'node:worker_threads';
import { endThread } from '../../core/end-thread.ts';
import { HomewardError, toHomewardError, type ErrorCode } from '../../core/errors.ts';
import type { FillSumsDone, FillSumsJob } from './fill-sums.ts';
import type { StepRequest, StepTasks } from './step-work.ts';
import type { NodeJob } from './undo/build-node.ts';
import type {
  MergeJob,
  OnsetJob,
  RandomRecord,
  ReplicaWritten,
  RollBackJob,
  SaveUndoJob,
  SplitJob,
  StepWork,
  UndoMade,
  UndoSaved,
  WriteReplicaJob,
} from './undo/undo-step.ts';

type Name = keyof StepTasks;
type Done = Awaited<ReturnType<StepTasks[Name]>>;

/** What the thread answers; errors keep their code. */
export type StepReply = { done: Done } | { failed: { code: ErrorCode; message: string; hint: string } };

interface Task {
  request: StepRequest;
  resolve(done: Done): void;
  reject(error: Error): void;
}

const workerFile = new URL('./step-worker.ts', import.meta.url);

/**
 * Files in jobs are lent: who gives a job keeps them open until it is done. A job whose thread ends may have
 * been done in part; each can be repeated.
 */
export class StepThread implements StepWork {
  #worker: Worker | null = null;
  #running: Task | null = null;
  readonly #steps: Task[] = [];
  readonly #background: Task[] = [];
  #closed = false;

  saveUndo(job: SaveUndoJob): Promise<UndoSaved> {
    return this.#add(this.#steps, 'saveUndo', job);
  }

  writeReplica(job: WriteReplicaJob): Promise<ReplicaWritten> {
    return this.#add(this.#steps, 'writeReplica', job);
  }

  rollBack(job: RollBackJob): Promise<ReplicaWritten> {
    return this.#add(this.#steps, 'rollBack', job);
  }

  split(job: SplitJob): Promise<[UndoMade, UndoMade]> {
    return this.#add(this.#steps, 'split', job);
  }

  merge(job: MergeJob): Promise<UndoMade> {
    return this.#add(this.#steps, 'merge', job);
  }

  findOnset(job: OnsetJob): Promise<RandomRecord[]> {
    return this.#add(this.#steps, 'findOnset', job);
  }

  /** Makes a table of neighbouring undo segments, when no step waits. */
  buildNode(job: NodeJob): Promise<void> {
    return this.#add(this.#background, 'buildNode', job);
  }

  /** The hash of a sealed file, when no step waits. */
  hashFile(fd: number, bytes: number): Promise<string> {
    return this.#add(this.#background, 'hashFile', { fd, bytes });
  }

  /** A part of the checksums that are not known, when no step waits. */
  fillSums(job: FillSumsJob): Promise<FillSumsDone> {
    return this.#add(this.#background, 'fillSums', job);
  }

  /** Ends the thread. What was under way has to be repeated, a step stays open. */
  async close(): Promise<void> {
    this.#closed = true;
    const worker = this.#worker;
    if (worker !== null) this.#end(worker, interrupted());
    if (worker !== null) await endThread(worker);
  }

  #add<N extends Name>(
    queue: Task[],
    name: N,
    job: Parameters<StepTasks[N]>[0],
  ): Promise<Awaited<ReturnType<StepTasks[N]>>> {
    if (this.#closed) return Promise.reject(interrupted());
    return new Promise((resolve, reject) => {
      queue.push({
        request: { name, job } as StepRequest,
        // The thread answers each request with what its name stands for.
        resolve: resolve as Task['resolve'],
        reject,
      });
      this.#next();
    });
  }

  #next(): void {
    if (this.#running !== null) return;
    const task = this.#steps.shift() ?? this.#background.shift() ?? null;
    if (task === null) return;
    this.#running = task;
    this.#worker ??= this.#start();
    this.#worker.postMessage(task.request);
  }

  #start(): Worker {
    const worker = new Worker(workerFile);
    worker.on('message', (reply: StepReply) => this.#answer(worker, reply));
    worker.on('error', (error) => this.#end(worker, toHomewardError(error)));
    worker.on('exit', () => this.#end(worker, interrupted()));
    return worker;
  }

  #answer(worker: Worker, reply: StepReply): void {
    if (worker !== this.#worker) return;
    const task = this.#running;
    this.#running = null;
    if ('done' in reply) task?.resolve(reply.done);
    else {
      const { code, message, hint } = reply.failed;
      task?.reject(new HomewardError(code, message, { hint }));
    }
    this.#next();
  }

  /** The thread is gone: what it was at has failed, what waited gets a new one, but for the end of all. */
  #end(worker: Worker, error: Error): void {
    if (this.#worker !== worker) return;
    this.#worker = null;
    const failed = this.#closed ? [...this.#steps.splice(0), ...this.#background.splice(0)] : [];
    if (this.#running !== null) failed.unshift(this.#running);
    this.#running = null;
    for (const { reject } of failed) reject(error);
    this.#next();
  }
}

const interrupted = (): HomewardError => new HomewardError('interrupted', 'the thread of the steps ended');
