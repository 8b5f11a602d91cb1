// Heals redo of a machine that comes over the chain: damaged records are had from the process server again.
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises';
import { errorTable, HomewardError, toHomewardError } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import type { Log } from '../../core/log.ts';
import { readTolerant } from '../../core/segment-log/read-tolerant.ts';
import { rewriteSegment, type RewriteRequest } from '../../core/segment-log/rewrite-segment.ts';
import { isEmpty, type Segment } from '../../core/segment-log/segment.ts';
import type { Journal } from './journal.ts';
import { enterHealed, enterLate, lateNotes } from './late-notes.ts';
import { FileHash } from './ledger-hash.ts';
import type { Ledger } from './ledger.ts';
import {
  findUnsound,
  isSound,
  mendSegment,
  type LsnRange,
  type Mended,
  type Unsound,
} from './mend-segment.ts';
import { scanRedo } from './reindex.ts';

/** What of records [from, to] the process server still has, by LSN; those that `isWanted` says. */
export type HaveAgain = (
  asked: { from: number; to: number; isWanted(lsn: number): boolean },
  signal: AbortSignal,
) => Promise<ReadonlyMap<number, Buffer>>;

/** A segment that was made sound again, or as much of it as could be had. */
export interface Healed {
  file: string;
  /** The records that were damaged and are not any more. */
  records: LsnRange[];
  /** Records that stay damaged. */
  left: LsnRange[];
}

export interface RedoHealOptions {
  name: string;
  journal: Journal;
  ledger: Pick<Ledger, 'append' | 'settle'>;
  log: Log;
  /** Its records are numbered elsewhere: somebody may have them. */
  isPulled(): boolean;
  /** Another file is read for a segment from now on: readers have to hear of it. */
  replaced(): void;
  waitMs?: number;
}

/** How long others than steps are waited for in one go, all segments together. */
interface Patience {
  leftMs: number;
}

/** One segment at a time. What could not be had is not asked for again by steps for a while. */
export class RedoHeal {
  readonly #options: RedoHealOptions;
  readonly #stopping = new AbortController();
  readonly #hopeless = new Map<string, number>();
  #have: HaveAgain | null = null;
  #attached: (() => void) | null = null;
  #work: Promise<unknown> = Promise.resolve();

  constructor(options: RedoHealOptions) {
    this.#options = options;
    options.journal.catalogue.hearsDamage = ({ file }) => this.#inBackground(this.mend([file]));
  }

  /** Who can be asked, or null while nobody can. What is known to be lost or damaged is asked for at once. */
  attach(have: HaveAgain | null): void {
    this.#have = have;
    if (have === null) return;
    this.#attached?.();
    const { lost, damaged } = this.#options.journal.catalogue;
    this.#inBackground(this.heal([...lost, ...damaged].map(({ file }) => file)));
  }

  /** What is under way ends with 'interrupted', and so does every later call. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#work.catch(() => undefined);
  }

  /**
   * For a step: true when some of the files are better now. It waits for a process server that cannot be
   * reached just now, but not for ever. Throws 'interrupted'.
   */
  async mend(files: Iterable<string>): Promise<boolean> {
    const now = performance.now();
    const hoped = [...files].filter((file) => (this.#hopeless.get(file) ?? 0) <= now);
    return (await this.heal(hoped)).length > 0;
  }

  /** Whether nothing of these files is known to be damaged any more, once they were asked for. */
  async settle(files: ReadonlySet<string>): Promise<boolean> {
    await this.mend(files);
    return !this.#options.journal.catalogue.damaged.some(({ file }) => files.has(file));
  }

  /** Of the segments with these paths, those that are better now. Throws 'interrupted'. */
  heal(files: Iterable<string>): Promise<Healed[]> {
    const wanted = new Set(files);
    if (wanted.size === 0 || !this.#options.isPulled()) return Promise.resolve([]);
    const work = this.#work.catch(() => undefined).then(() => this.#healAll(wanted));
    this.#work = work;
    return work;
  }

  #inBackground(work: Promise<unknown>): void {
    const { log, name } = this.#options;
    work.catch((error: unknown) =>
      log.warn('redo-not-healed', { machine: name, error: toHomewardError(error) }),
    );
  }

  async #healAll(wanted: ReadonlySet<string>): Promise<Healed[]> {
    const { journal } = this.#options;
    const healed: Healed[] = [];
    const patience: Patience = { leftMs: this.#options.waitMs ?? limits.healWaitMs };
    this.#endSegment(wanted);
    for (const segment of [...journal.segments]) {
      if (!wanted.has(segment.path) || segment.retired || isEmpty(segment)) continue;
      if (!journal.isComplete(segment) || segment.lastLsn > journal.durableLsn) continue;
      if (this.#stopping.signal.aborted) throw interrupted();
      const one = await this.#healOne(segment, patience);
      if (one !== null) healed.push(one);
    }
    return healed;
  }

  /** What is being written has to be complete; where no other segment can be had now, it is left. */
  #endSegment(wanted: ReadonlySet<string>): void {
    const { journal, log, name } = this.#options;
    const newest = journal.segments.at(-1);
    if (newest === undefined || !wanted.has(newest.path) || journal.isComplete(newest)) return;
    try {
      journal.roll();
    } catch (error) {
      log.warn('roll-failed', { machine: name, error: toHomewardError(error) });
    }
  }

  /** Null when nothing is wrong with it, or nothing can be done. The segment is held meanwhile. */
  async #healOne(segment: Segment, patience: Patience): Promise<Healed | null> {
    const { journal, log, name } = this.#options;
    const { files, machine } = journal.source;
    segment.users += 1;
    try {
      const content = Buffer.allocUnsafe(segment.bytes);
      content.fill(0, await readTolerant(files, segment.fd, content, 0));
      const place = { ...segment, machine };
      const unsound = findUnsound(content, place);
      if (isSound(unsound)) return null;
      const records = await this.#fetch(unsound.ranges, patience);
      await nextTurn();
      const mended = mendSegment(content, place, records, unsound);
      await nextTurn();
      if (mended === null) return this.#giveUp(segment, unsound.ranges);
      await this.#place(segment, mended, unsound);
      const { ranges: left } = mended.left;
      if (left.length > 0) this.#giveUp(segment, left);
      const healed = without(unsound, left);
      log.info('redo-healed', { machine: name, file: segment.path, records: spell(healed) });
      return { file: segment.path, records: healed, left };
    } catch (error) {
      if (this.#stopping.signal.aborted) throw interrupted();
      log.warn('redo-not-healed', { machine: name, file: segment.path, error: toHomewardError(error) });
      return null;
    } finally {
      segment.users -= 1;
    }
  }

  #giveUp({ path: file }: Segment, ranges: readonly LsnRange[]): null {
    const { log, name } = this.#options;
    this.#hopeless.set(file, performance.now() + limits.healAgainMs);
    log.warn('redo-not-healed', { machine: name, file, records: spell(ranges) });
    return null;
  }

  async #place(segment: Segment, { content, isRelaid, left }: Mended, unsound: Unsound): Promise<void> {
    const { journal, ledger, replaced } = this.#options;
    const { files, machine } = journal.source;
    const { path: file, firstLsn: from, lastLsn: to, end: bytes } = segment;
    const hash = new FileHash().add(content.subarray(0, bytes)).hex();
    const why = `healed: records ${spell(without(unsound, left.ranges))}`.slice(
      0,
      limits.ledgerWhyCharacters,
    );
    let isPlaced = false;
    const request: RewriteRequest = {
      ...{ files, machine, segment, content },
      before: async () => {
        ledger.append({ event: 'sealed', file, from, to, bytes, hash, why });
        await ledger.settle();
      },
      replaced: (next) => {
        const { report } = scanRedo(journal.source, content.subarray(0, bytes), segment, to);
        const healed = without(unsound, left.ranges);
        const notes = lateNotes(journal, { notes: report.notes, lastLsn: to }, healed);
        journal.replace(segment, next, isRelaid);
        isPlaced = true;
        enterHealed(journal.catalogue, next, healed, report.lost);
        this.#tell(file, () => {
          for (const note of notes) enterLate(journal.catalogue, note);
          replaced();
        });
      },
    };
    await rewriteSegment(request).catch((error: unknown) => {
      if (!isPlaced) throw error;
      this.#notFinished(file, error); // a power cut may bring the old file back
    });
  }

  /** Who could not be told reads the old file on, which is as it was. */
  #tell(file: string, tell: () => void): void {
    try {
      tell();
    } catch (error) {
      this.#notFinished(file, error);
    }
  }

  #notFinished(file: string, error: unknown): void {
    const { log, name } = this.#options;
    log.warn('heal-not-finished', { machine: name, file, error: toHomewardError(error) });
  }

  /** Empty when nobody has them, or nobody could be asked for too long. Throws 'interrupted'. */
  async #fetch(ranges: readonly LsnRange[], patience: Patience): Promise<ReadonlyMap<number, Buffer>> {
    const [first] = ranges;
    const last = ranges.at(-1);
    if (first === undefined || last === undefined) return new Map();
    const isWanted = (lsn: number): boolean => ranges.some(([from, to]) => from <= lsn && lsn <= to);
    const until = performance.now() + patience.leftMs;
    for (let broken = 0; ;) {
      const have = await this.#whoHas(until - performance.now());
      if (have === null) {
        patience.leftMs = 0;
        return new Map();
      }
      const signal = this.#stopping.signal;
      try {
        return await have({ from: first[0], to: last[1], isWanted }, signal);
      } catch (error) {
        const problem = toHomewardError(error);
        if (signal.aborted) throw interrupted();
        // One that does not know the question says so by breaking the connection.
        if (problem.code === 'chain-broken' || problem.code === 'damaged-record') broken += 1;
        const isFinal = !errorTable[problem.code].retry || broken >= limits.healTries;
        if (isFinal || performance.now() >= until) {
          patience.leftMs = 0;
          const { name, log } = this.#options;
          log.warn('records-not-had-again', { machine: name, code: problem.code, error: problem });
          return new Map();
        }
        await pause(limits.healRetryMs, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  /** Null when nobody can be asked for so long. */
  async #whoHas(waitMs: number): Promise<HaveAgain | null> {
    const { signal } = this.#stopping;
    if (signal.aborted) throw interrupted();
    if (this.#have !== null || waitMs <= 0) return this.#have;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        this.#attached = null;
        resolve();
      };
      const timer = setTimeout(done, waitMs);
      signal.addEventListener('abort', done, { once: true });
      this.#attached = done;
    });
    if (signal.aborted) throw interrupted();
    return this.#have;
  }
}

/** What is not damaged any more; where only a frame was, its records. `left` is in order. */
function without({ ranges, unframed }: Unsound, left: readonly LsnRange[]): LsnRange[] {
  const healed: LsnRange[] = [];
  for (const [from, to] of ranges.length > 0 ? ranges : unframed) {
    let next = from;
    for (const [start, end] of left) {
      if (end < next || start > to) continue;
      if (start > next) healed.push([next, start - 1]);
      next = end + 1;
    }
    if (next <= to) healed.push([next, to]);
  }
  return healed;
}

const spell = (ranges: readonly LsnRange[]): string =>
  ranges.map(([from, to]) => (from === to ? String(from) : `${from} to ${to}`)).join(', ');

const interrupted = (): HomewardError => new HomewardError('interrupted', 'asking for records was ended');
