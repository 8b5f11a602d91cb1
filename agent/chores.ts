// What may wait for everything else: tables of undo, hashes of sealed segments, lines of the ledger that
// a crash kept from being written, checksums of replicas, names that somebody has removed.
import { toHomewardError } from '../core/errors.ts';
import { limits } from '../core/limits.ts';
import type { Log } from '../core/log.ts';
import { isEmpty, type Segment } from '../core/segment-log/segment.ts';
import type { Machine } from './machine.ts';
import type { StepThread } from './replica/step-thread.ts';

export interface ChoresOptions {
  work: Pick<StepThread, 'buildNode' | 'hashFile' | 'fillSums'>;
  log: Log;
}

/** At most one round of one machine is under way; a failure is told once and tried again at the next look. */
export class Chores {
  readonly #options: ChoresOptions;
  readonly #running = new Map<string, Promise<void>>();
  readonly #failed = new Set<string>();
  /** When the names of each machine's redo were looked at last. */
  readonly #namesLooked = new Map<string, number>();
  #stopped = false;

  constructor(options: ChoresOptions) {
    this.#options = options;
  }

  /** Begins what there is to do for the machine. */
  look(machine: Machine): void {
    const { id, name } = machine;
    if (this.#stopped || this.#running.has(id)) return;
    const round = this.#do(machine).then(
      () => this.#failed.delete(id),
      (error: unknown) => {
        if (!this.#stopped && !this.#failed.has(id))
          this.#options.log.warn('chores-failed', { machine: name, error: toHomewardError(error) });
        this.#failed.add(id);
      },
    );
    this.#running.set(
      id,
      round.then(() => {
        this.#running.delete(id);
      }),
    );
  }

  /** Resolves when nothing is under way for the machine. */
  async settled(id: string): Promise<void> {
    await this.#running.get(id);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#running.values());
  }

  async #do(machine: Machine): Promise<void> {
    const { ledger } = machine;
    await this.#keepNames(machine);
    await dropLeftovers(machine);
    notePruned(machine);
    noteFound(machine);
    for (const plan of machine.history.undo.nodesWanted()) {
      if (this.#stopped) return;
      // Steps may have been merged or rolled back meanwhile.
      if (!plan.inputs.every((step) => machine.history.undo.steps.includes(step))) continue;
      const { job, release } = machine.history.undo.lendNode(plan);
      await this.#options.work.buildNode(job).finally(release);
      machine.history.undo.nodeMade(plan);
    }
    for (const segment of unsealed(machine)) {
      if (this.#stopped) return;
      await this.#seal(machine, segment);
    }
    await ledger.settle();
    if (!this.#stopped) await machine.sums.look(machine, this.#options.work);
  }

  async #keepNames({ id, heal }: Machine): Promise<void> {
    const now = performance.now();
    if (now - (this.#namesLooked.get(id) ?? -Infinity) < limits.namesLookMs) return;
    this.#namesLooked.set(id, now);
    await heal.keepNames();
  }

  /** Of what lay there at the start nobody saw how it was written: it has no hash, only its own checksums. */
  async #seal(machine: Machine, segment: Segment): Promise<void> {
    const { ledger, openedLsn } = machine;
    if (segment.firstLsn <= openedLsn) {
      const { path: file, firstLsn: from, lastLsn: to, end: bytes } = segment;
      ledger.append({ event: 'found', file, from, to, bytes });
      return;
    }
    segment.users += 1;
    try {
      const { path: file, firstLsn: from, lastLsn: to, end: bytes, fd } = segment;
      const hash = await this.#options.work.hashFile(fd, bytes);
      // Moved to another file, or gone, in the meantime: that has its own line.
      if (!segment.retired && segment.lastLsn === to && to > machine.cursor.pruned)
        ledger.append({ event: 'sealed', file, from, to, bytes, hash });
    } finally {
      segment.users -= 1;
    }
  }
}

/** Redo whose room was needed before the line that it goes could be written, and a stop came between. */
function notePruned({ ledger, cursor }: Machine): void {
  const overdue = [...ledger.expected().redo.values()].filter(({ to }) => to <= cursor.pruned);
  if (overdue.length === 0) return;
  ledger.append({
    event: 'pruned',
    from: Math.min(...overdue.map(({ from }) => from)) - 1,
    to: cursor.pruned,
  });
}

/** What a crash left of a split or a merge. */
async function dropLeftovers({ history, ledger }: Machine): Promise<void> {
  const { leftovers } = history.undo;
  if (leftovers.length === 0) return;
  for (const { path: file, from, to } of leftovers) ledger.append({ event: 'pruned', file, from, to });
  await ledger.settle();
  history.undo.dropLeftovers();
}

/** Steps whose line was lost with a crash. */
function noteFound({ history, ledger, paths }: Machine): void {
  const known = ledger.expected().undo;
  for (const { path: file, from, to, bytes, hash } of history.undo.steps)
    if (!known.has(file.slice(paths.directory.length + 1)))
      ledger.append({ event: 'found', file, from, to, bytes, ...(hash !== '' && { hash }) });
}

/** Complete segments that the ledger does not know, and that are not about to go. */
function unsealed({ journal, ledger, paths, cursor }: Machine): Segment[] {
  const known = ledger.expected().redo;
  const { durableLsn } = journal;
  return journal.segments
    .slice(0, -1)
    .filter((segment) => !isEmpty(segment) && segment.lastLsn <= durableLsn)
    .filter(({ lastLsn }) => lastLsn > cursor.pruned)
    .filter(({ path }) => !known.has(path.slice(paths.directory.length + 1)));
}
