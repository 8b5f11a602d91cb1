// Carries out the retention policy: applies redo that no wanted point needs, and prunes it.
import type { Clock } from '../../core/clock.ts';
import { toHomewardError, type HomewardError } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import { nextStep, type Appliable, type Applier } from '../replica/applier.ts';
import { outsideGaps, unwantedUpTo, type RetentionPolicy } from './policy.ts';

export interface Kept extends Appliable {
  readonly id: string;
  readonly name: string;
  readonly oldestLsn: number | null;
  readonly leastShownLsn: number | null;
  /** How long its points are kept, where it has a window of its own. */
  readonly windowMs: number | null;
  /** Writes down how much is known durable, if that has grown. */
  noteDurable(): void;
}

export interface JanitorOptions {
  machines(): readonly Kept[];
  applier: Applier;
  policy: RetentionPolicy;
  clock: Clock;
  log: Log;
  intervalMs: number;
}

export class Janitor {
  readonly #options: JanitorOptions;
  readonly #problems = new Map<string, HomewardError>();
  /** Head LSNs of the last look, by machine. */
  readonly #heads = new Map<string, number>();
  #timer: NodeJS.Timeout | null = null;
  #running: Promise<void> | null = null;
  #again = false;
  #stopped = false;

  constructor(options: JanitorOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = setInterval(() => this.wake(), this.#options.intervalMs);
  }

  /** Why the cursor of a machine does not move, or null. */
  problemOf(id: string): HomewardError | null {
    return this.#problems.get(id) ?? null;
  }

  /** Looks at all machines now. */
  wake(): void {
    if (this.#stopped) return;
    this.#again = true;
    this.#running ??= this.#work().finally(() => {
      this.#running = null;
    });
  }

  /** A step under way is left open: it is repeated after the next start. */
  async stop(): Promise<void> {
    this.#stopped = true;
    if (this.#timer !== null) clearInterval(this.#timer);
    await this.#options.applier.close();
    await this.#running;
  }

  async #work(): Promise<void> {
    while (this.#again && !this.#stopped) {
      this.#again = false;
      for (const machine of this.#options.machines()) await this.#tidy(machine);
    }
  }

  /** Never rejects: a machine whose apply fails keeps its redo, and the others go on. */
  async #tidy(machine: Kept): Promise<void> {
    const { applier, log } = this.#options;
    try {
      machine.journal.retrySpace();
      const target = this.#target(machine);
      for (
        let step = this.#next(machine, target);
        step !== null && !this.#stopped;
        step = this.#next(machine, target)
      ) {
        const bytes = await applier.apply(machine, step);
        log.debug('step-applied', { machine: machine.name, from: step.from, to: step.to, bytes });
        this.#prune(machine);
      }
      this.#prune(machine);
      this.#noteIdle(machine);
      this.#problems.delete(machine.id);
    } catch (error) {
      const problem = toHomewardError(error);
      if (this.#stopped) return;
      if (!this.#problems.has(machine.id))
        log.error('apply-failed', { machine: machine.name, code: problem.code, error: problem });
      this.#problems.set(machine.id, problem);
    }
  }

  #next(machine: Kept, target: number): ReturnType<typeof nextStep> {
    // A view may have opened during the step before: nothing above what it shows is applied under it.
    const bound = Math.min(target, machine.leastShownLsn ?? Infinity);
    return nextStep(machine.journal.segments, machine.cursor.lsn, bound, machine.journal.catalogue.tags);
  }

  #target(machine: Kept): number {
    const { journal, cursor } = machine;
    const { policy } = this.#options;
    const open = unwantedUpTo(
      {
        sealed: journal.segments.slice(0, -1).filter(({ lastLsn }) => lastLsn > cursor.lsn),
        bytes: journal.redoBytes,
        cursorLsn: cursor.lsn,
        durableLsn: journal.durableLsn,
        firstPoint: cursor.firstPoint,
        leastShownLsn: machine.leastShownLsn,
      },
      { ...policy, windowMs: machine.windowMs ?? policy.windowMs },
      this.#options.clock.now(),
    );
    const { gaps, sync } = journal.catalogue;
    const settled = outsideGaps(open, {
      cursorLsn: cursor.lsn,
      firstPoint: cursor.firstPoint,
      bound: Math.min(journal.durableLsn, machine.leastShownLsn ?? Infinity),
      gaps,
      sync,
    });
    // A step that a crash left open is finished whatever the policy says.
    return Math.max(settled, cursor.stepTo ?? 0);
  }

  /** The cursor of an idle machine says what is durable: should its newest file vanish, that is missed. */
  #noteIdle(machine: Kept): void {
    const { headLsn, durableLsn } = machine.journal;
    if (durableLsn === headLsn && this.#heads.get(machine.id) === headLsn) {
      machine.noteDurable();
      machine.journal.trimSpares();
    }
    this.#heads.set(machine.id, headLsn);
  }

  #prune(machine: Kept): void {
    const { journal, cursor } = machine;
    const count = journal.prune(cursor.lsn);
    if (count === 0) return;
    // A gap that the cursor has not left is remembered.
    if (cursor.firstPoint !== null) journal.catalogue.forgetBelow(Math.max(cursor.firstPoint, cursor.lsn));
    this.#options.log.info('redo-pruned', { machine: machine.name, segments: count, appliedLsn: cursor.lsn });
  }
}
