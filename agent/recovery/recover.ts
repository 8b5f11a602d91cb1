// Carries out a recovery: disks of a view into files or onto devices, by threads that share the stretches of
// each, so that it can go on where it was interrupted.
import fs from 'node:fs';
import { lentFileStore } from '../../core/block/file-store.ts';
import { assert, HomewardError } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import type { DiskRange, OnProgress, RecoverPlan, RecoverRequest } from '../control/service.ts';
import type { HeldContent } from '../replica/view-content.ts';
import { Checkpoints } from './checkpoints.ts';
import { ExportCrew, type CrewTask } from './export-crew.ts';
import type { ByteRange } from './formats/disk-source.ts';
import { finishImage } from './formats/finish-image.ts';
import { abandonedRanges, planImage, type ImagePlan } from './formats/image-plan.ts';
import { compareFirstBit, stretchesOf, type StretchDone } from './formats/stretch.ts';
import { explainFailure } from './recovery-failure.ts';
import { imageFormat, openTarget, type RecoveryTarget } from './recovery-target.ts';
import { publish } from './target-file.ts';
import { targetsInUse } from './targets-in-use.ts';

export interface RecoverExecution {
  plan: RecoverPlan;
  /** The machine's id. */
  machine: string;
  /** The same content for each thread; as many as `recoveryThreads` says. */
  contents: readonly HeldContent[];
  /** The directory of devices' notes. */
  notes: string;
  options: Pick<RecoverRequest, 'fresh' | 'verify' | 'allowDamaged'>;
  progress: OnProgress;
  signal: AbortSignal;
}

export interface RecoverOutcome {
  bytesWritten: number;
  /** What was damaged, and is zeros now. */
  damaged: DiskRange[];
  /** What reads back different; nothing was published then. Null when it was not read. */
  differing: DiskRange[] | null;
}

/**
 * Throws 'conflict', before anything is written, when another recovery writes to one of the targets. When
 * it fails or is aborted, what it wrote is kept under hidden names, and noted, for the same recovery to go
 * on with.
 */
export async function executeRecovery(execution: RecoverExecution): Promise<RecoverOutcome> {
  const release = targetsInUse.claim(execution.plan.disks.map(({ to }) => to));
  const targets: RecoveryTarget[] = [];
  const crew = new ExportCrew(execution.contents);
  try {
    const { plan, machine, notes, options } = execution;
    for (const disk of plan.disks) {
      const identity = { machine, lsn: plan.lsn, disk: disk.name, size: disk.size, format: disk.format };
      targets.push(openTarget({ disk, identity, notes, fresh: options.fresh ?? false }));
    }
    const recovery = new Recovery(execution, crew, targets);
    return await recovery.run();
  } catch (error) {
    throw explainFailure(error, execution, targets);
  } finally {
    await crew.close();
    for (const target of targets) target.close();
    release();
  }
}

class Recovery {
  readonly #execution: RecoverExecution;
  readonly #crew: ExportCrew;
  readonly #targets: readonly RecoveryTarget[];
  readonly #total: number;
  readonly #outcome: RecoverOutcome = { bytesWritten: 0, damaged: [], differing: null };
  #doneBytes = 0;

  constructor(execution: RecoverExecution, crew: ExportCrew, targets: readonly RecoveryTarget[]) {
    this.#execution = execution;
    this.#crew = crew;
    this.#targets = targets;
    const passes = execution.options.verify ? 2 : 1;
    this.#total = passes * execution.plan.disks.reduce((sum, { size }) => sum + size, 0);
  }

  async run(): Promise<RecoverOutcome> {
    for (const target of this.#targets) this.#refuseDamaged(target);
    for (const target of this.#targets) await this.#copy(target);
    if (this.#execution.options.verify) await this.#verify();
    const isRight = (this.#outcome.differing ?? []).length === 0;
    if (isRight) publish(this.#targets.flatMap(({ file }) => file ?? []));
    for (const target of this.#targets) {
      if (isRight) target.note.remove();
      else target.tryDiscard();
    }
    return this.#outcome;
  }

  /** The run before had leave to write zeros; this one has not. */
  #refuseDamaged({ damaged, disk, note }: RecoveryTarget): void {
    const [first] = damaged;
    if (first === undefined || this.#execution.options.allowDamaged) return;
    const where = `bytes ${first[0]} to ${first[1]} of disk ${disk.name}`;
    throw new HomewardError('damaged', `${where} are damaged: the interrupted run wrote zeros there`, {
      hint: `Go on with --allow-damaged, or begin anew with --fresh; ${note.path} is the note of that run.`,
    });
  }

  async #copy(target: RecoveryTarget): Promise<void> {
    const { disk } = target;
    const format = imageFormat(disk.format);
    const image = planImage(format, disk.size, target.done);
    const placed = new Map(image.kept);
    if (target.file !== null) {
      await punch(target.fd, abandonedRanges(format, disk.size, image));
      this.#note(disk.name, target.damaged);
      this.#advance(disk, disk.size - bytesOf(image.todo, disk.size));
    }
    await this.#write(target, image, (stretch) => {
      placed.set(stretch.index, stretch.parts);
      this.#outcome.bytesWritten += stretch.bytesWritten;
      this.#note(disk.name, stretch.damaged);
      this.#advance(disk, bytesOf([stretch.index], disk.size));
    });
    assert(placed.size === stretchesOf(disk.size), 'every stretch was written');
    // A new one grows as it is written, which the file system has less work with.
    if (format === 'raw' && target.file !== null) fs.ftruncateSync(target.fd, disk.size);
    await finishImage({ format, fd: target.fd, size: disk.size, path: disk.to, placed });
    await lentFileStore(target.fd).flush();
  }

  async #write(
    target: RecoveryTarget,
    image: ImagePlan,
    written: (stretch: StretchDone) => void,
  ): Promise<void> {
    const broken = new AbortController();
    const checkpoints = new Checkpoints(
      { fd: target.fd, format: imageFormat(target.disk.format) },
      target.note,
      (error) => broken.abort(error),
    );
    // Others may have written to a device meanwhile: what was done is looked at once more.
    const again = target.file === null ? [...image.kept.keys()].map((index) => index + compareFirstBit) : [];
    const todo = [...again, ...image.todo];
    try {
      const task = { ...this.#task(target, 'copy'), todo, free: image.free };
      const signal = AbortSignal.any([this.#execution.signal, broken.signal]);
      await this.#crew.run(
        task,
        (reply) => {
          if (!('done' in reply)) return;
          checkpoints.add(reply.done);
          written(reply.done);
        },
        signal,
      );
      await checkpoints.finish();
    } catch (error) {
      // What cannot be noted is written again by the run that goes on.
      await checkpoints.finish().catch(() => undefined);
      throw error;
    }
  }

  async #verify(): Promise<void> {
    const differing: DiskRange[] = [];
    for (const target of this.#targets) {
      const { name, size } = target.disk;
      const todo = Array.from({ length: stretchesOf(size) }, (_, index) => index);
      const found: { index: number; ranges: ByteRange[] }[] = [];
      await this.#crew.run(
        { ...this.#task(target, 'compare'), todo, free: {} },
        (reply) => {
          if (!('differing' in reply)) return;
          found.push(reply.differing);
          this.#advance(target.disk, bytesOf([reply.differing.index], size), ' (reading back)');
        },
        this.#execution.signal,
      );
      for (const { ranges } of found.toSorted((one, other) => one.index - other.index))
        differing.push(...ranges.map(([start, end]) => ({ disk: name, start, end })));
    }
    this.#outcome.differing = differing;
  }

  #task({ disk, fd }: RecoveryTarget, kind: CrewTask['kind']): Omit<CrewTask, 'todo' | 'free'> {
    const index =
      this.#execution.contents[0]?.content.disks.findIndex(({ name }) => name === disk.name) ?? -1;
    assert(index >= 0, `the view has ${disk.name}`);
    return {
      kind,
      disk: index,
      format: imageFormat(disk.format),
      fd,
      // Damage that the first pass let through is compared as what it wrote: zeros.
      allowDamaged: this.#execution.options.allowDamaged ?? false,
    };
  }

  #note(disk: string, damaged: readonly ByteRange[]): void {
    this.#outcome.damaged.push(...damaged.map(([start, end]) => ({ disk, start, end })));
  }

  #advance({ name }: { name: string }, bytes: number, doing = ''): void {
    this.#doneBytes += bytes;
    this.#execution.progress({ done: this.#doneBytes, total: this.#total, what: name + doing });
  }
}

/** What an interrupted run has left there is no content, and takes room: it becomes holes. */
async function punch(fd: number, ranges: readonly ByteRange[]): Promise<void> {
  const store = lentFileStore(fd);
  for (const [start, end] of ranges) {
    const stop = Math.min(end, store.size);
    if (stop > start) await store.zero(start, stop - start, { punch: true });
  }
}

/** Bytes of these stretches of a disk, the last of which ends with it. */
function bytesOf(indexes: readonly number[], size: number): number {
  const last = stretchesOf(size) - 1;
  const short = indexes.includes(last) ? (last + 1) * limits.recoveryStretchBytes - size : 0;
  return indexes.length * limits.recoveryStretchBytes - short;
}
