// Heals redo: what has lost its name is put back, and of a machine that comes over the chain damaged records,
// and those of files that are gone, are had from the process server again.
import { basename } from 'node:path';
import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises';
import { errorTable, HomewardError, toHomewardError } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import { readTolerant } from '../../core/segment-log/read-tolerant.ts';
import { isEmpty, type Segment } from '../../core/segment-log/segment.ts';
import { fillHole } from './fill-hole.ts';
import { enterHealed } from './late-notes.ts';
import {
  findUnsound,
  isSound,
  mendSegment,
  spellRanges,
  type LsnRange,
  type Mended,
  type Unsound,
} from './mend-segment.ts';
import { isThere, placeSegment, type PlacingParts } from './place-segment.ts';
import { findHoles, isOneOf, nameOfHole } from './redo-holes.ts';

export interface Asked {
  from: number;
  to: number;
  isWanted(lsn: number): boolean;
  /** Enough when so much is there. */
  mostBytes: number;
}

/** What of records [from, to] the process server still has, by LSN, oldest first. */
export type HaveAgain = (asked: Asked, signal: AbortSignal) => Promise<ReadonlyMap<number, Buffer>>;

/** A segment that was made sound again, or as much of it as could be had. */
export interface Healed {
  file: string;
  /** The records that were damaged or not there, and are now. */
  records: LsnRange[];
  /** Records that stay damaged. */
  left: LsnRange[];
  /** Nothing was had from anybody: the file had lost its name, and was still open. */
  isPutBack?: true;
}

export interface RedoHealOptions extends PlacingParts {
  /** Its records are numbered elsewhere: somebody may have them. */
  isPulled(): boolean;
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
    if (wanted.size === 0) return Promise.resolve([]);
    const work = this.#work.catch(() => undefined).then(() => this.#healAll(wanted));
    this.#work = work;
    return work;
  }

  /** Files of redo whose names have gone are put back, as long as they are open here. */
  async keepNames(): Promise<Healed[]> {
    const { journal, directory } = this.#options;
    const names = new Set(journal.source.files.list(directory));
    const gone = journal.segments.filter(({ path }) => !names.has(basename(path)));
    return await this.heal(gone.map(({ path }) => path));
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
    if (this.#options.isPulled()) healed.push(...(await this.#fillHoles(wanted, patience)));
    return healed;
  }

  /** What is being written has to be complete; where no other segment can be had now, it is left. */
  #endSegment(wanted: ReadonlySet<string>): void {
    const { journal, log, name, isPulled } = this.#options;
    const newest = journal.segments.at(-1);
    if (newest === undefined || !wanted.has(newest.path) || journal.isComplete(newest)) return;
    if (!isPulled() && isThere(journal.source.files, newest.path)) return;
    try {
      journal.roll();
    } catch (error) {
      log.warn('roll-failed', { machine: name, error: toHomewardError(error) });
    }
  }

  /** Null when nothing is wrong with it, or nothing can be done. The segment is held meanwhile. */
  async #healOne(segment: Segment, patience: Patience): Promise<Healed | null> {
    const { journal, isPulled } = this.#options;
    const { files, machine } = journal.source;
    return await this.#trying(segment.path, async () => {
      const isGone = !isThere(files, segment.path);
      if (!isGone && !isPulled()) return null;
      segment.users += 1;
      try {
        const content = Buffer.allocUnsafe(segment.bytes);
        content.fill(0, await readTolerant(files, segment.fd, content, 0));
        const place = { ...segment, machine };
        const unsound = findUnsound(content, place);
        if (isSound(unsound)) return isGone ? await this.#putBack(segment, content) : null;
        const records = isPulled() ? await this.#fetch(unsound.ranges, patience) : new Map<number, Buffer>();
        await nextTurn();
        const mended = mendSegment(content, place, records, unsound);
        await nextTurn();
        if (mended !== null) return await this.#placeMended(segment, mended, unsound);
        if (isGone) return await this.#putBack(segment, content);
        return this.#giveUp(segment.path, unsound.ranges);
      } finally {
        segment.users -= 1;
      }
    });
  }

  /** Whoever reads the file still has it, so it can have a name again. */
  async #putBack(segment: Segment, content: Buffer): Promise<Healed> {
    const { journal, log, name } = this.#options;
    const { path: file, firstLsn, lastLsn } = segment;
    const why = 'put back: its name was gone';
    const take = (next: Segment): void => journal.replace(segment, next, false);
    await placeSegment(this.#options, { segment, content, healed: [], why, take });
    log.warn('redo-put-back', { machine: name, file });
    return { file, records: [[firstLsn, lastLsn]], left: [], isPutBack: true };
  }

  async #placeMended(segment: Segment, mended: Mended, unsound: Unsound): Promise<Healed> {
    const { journal, log, name } = this.#options;
    const { content, end, isRelaid } = mended;
    const { ranges: left } = mended.left;
    const healed = without(unsound, left);
    await placeSegment(this.#options, {
      ...{ segment: { ...segment, bytes: content.length, end }, content, healed },
      why: `healed: records ${spellRanges(healed)}`,
      take: (next, lost) => {
        journal.replace(segment, next, isRelaid);
        enterHealed(journal.catalogue, next, healed, lost);
      },
    });
    if (left.length > 0) this.#giveUp(segment.path, left);
    log.info('redo-healed', { machine: name, file: segment.path, records: spellRanges(healed) });
    return { file: segment.path, records: healed, left };
  }

  /** What lay in files that are not there any more. */
  async #fillHoles(wanted: ReadonlySet<string>, patience: Patience): Promise<Healed[]> {
    const { journal } = this.#options;
    const segments = journal.segments.filter((segment) => !isEmpty(segment));
    const holes = findHoles(segments, journal.flooredLsn, journal.durableLsn);
    const healed: Healed[] = [];
    for (const hole of holes.filter((one) => isOneOf(wanted, one))) {
      if (this.#stopping.signal.aborted) throw interrupted();
      const file = nameOfHole(hole);
      const left = await this.#trying(file, () =>
        fillHole(this.#options, hole, {
          haveAgain: (range) => this.#fetch([range], patience, limits.healBytes),
          placed: (path, range) => healed.push({ file: path, records: [range], left: [] }),
        }),
      );
      if (left === null) continue;
      // What was said of the segment behind it is said of another file now.
      healed.push({ file, records: [], left });
      if (left.length > 0) this.#giveUp(file, left);
    }
    return healed.some(({ records }) => records.length > 0) ? healed : [];
  }

  async #trying<T>(file: string, act: () => Promise<T>): Promise<T | null> {
    const { log, name } = this.#options;
    try {
      return await act();
    } catch (error) {
      if (this.#stopping.signal.aborted) throw interrupted();
      log.warn('redo-not-healed', { machine: name, file, error: toHomewardError(error) });
      return null;
    }
  }

  #giveUp(file: string, ranges: readonly LsnRange[]): null {
    const { log, name } = this.#options;
    this.#hopeless.set(file, performance.now() + limits.healAgainMs);
    log.warn('redo-not-healed', { machine: name, file, records: spellRanges(ranges) });
    return null;
  }

  /** Empty when nobody has them, or nobody could be asked for too long. Throws 'interrupted'. */
  async #fetch(
    ranges: readonly LsnRange[],
    patience: Patience,
    mostBytes = Infinity,
  ): Promise<ReadonlyMap<number, Buffer>> {
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
        return await have({ from: first[0], to: last[1], isWanted, mostBytes }, signal);
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

const interrupted = (): HomewardError => new HomewardError('interrupted', 'asking for records was ended');
