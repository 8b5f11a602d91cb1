// Gives LSNs that never repeat: reserved on disk in blocks before any of them is given.
import type { Clock } from '../../core/clock.ts';
import { errnoOf } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import type { Log } from '../../core/log.ts';
import { writeSourceFile, type CleanStop, type SourceDisk, type SourceState } from './source-file.ts';

export interface NumberingOptions {
  /** Path of the source file, and what it holds. */
  file: string;
  state: SourceState;
  clock: Clock;
  log: Log;
  /** False: a clean stop counts for nothing, since the disks are not what they were. */
  resume?: boolean;
  blockLsns?: number;
}

/**
 * Invariants: no LSN above the durable `reservedTo` is given; what the file says was clean is so no more
 * before anything is recorded. The file is written on the spot (once in half a million records, behind the
 * turn of the event loop that crosses the half): one order of states, and a block of LSNs is enough for
 * minutes of the fastest disk. A reservation that fails is tried again each second; when the block is used
 * up meanwhile, no LSN is given, and the outbox stops recording until a sync.
 */
export class Numbering {
  readonly #file: string;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #blockLsns: number;
  #state: SourceState;
  #head: number;
  #scheduled = false;
  #closed = false;
  #failedAt: number | null = null;
  /** A clean stop was found; the sequence goes on where it ended. */
  readonly resumed: CleanStop | null;

  /** Takes the clean mark away, durably. */
  constructor(options: NumberingOptions) {
    this.#file = options.file;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#blockLsns = options.blockLsns ?? limits.reservedLsns;
    this.#state = options.state;
    const { clean, reservedTo } = options.state;
    this.resumed = options.resume === false ? null : clean;
    this.#head = this.resumed?.head ?? reservedTo;
    if (clean !== null) this.#write({ clean: null, reservedTo: this.#enough() });
  }

  get state(): Readonly<SourceState> {
    return this.#state;
  }
  /** The newest LSN that may have been given. */
  get head(): number {
    return this.#head;
  }
  get generation(): number {
    return this.#state.generation;
  }

  /** The next LSN, or null when none is reserved. */
  next(): number | null {
    if (this.#head >= this.#state.reservedTo && !this.#tryReserve()) return null;
    this.#head += 1;
    if (this.#state.reservedTo - this.#head < this.#blockLsns / 2) this.#reserveLater();
    return this.#head;
  }

  /**
   * The next generation, durable when it returns, with LSNs to follow; null when that could not be written.
   */
  nextGeneration(): number | null {
    const generation = this.#state.generation + 1;
    return this.#tryWrite({ generation, reservedTo: this.#enough() }) ? generation : null;
  }

  /**
   * Somebody knows a newer LSN or generation of ours: the file is older than it should be (a copy was put
   * back). Nothing up to them is given again.
   */
  skipTo(lsn: number, generation: number): void {
    const head = Math.max(this.#head, lsn);
    this.#write({
      generation: Math.max(this.#state.generation, generation),
      reservedTo: Math.max(this.#state.reservedTo, head),
    });
    this.#head = head;
  }

  /** Whose copy the dirty map speaks of from now on; durable when it returns. */
  setTarget(target: string, synced: boolean): void {
    this.#write({ target, synced });
  }

  /**
   * What was told of the master target, kept for a process server that forgets it; false when it is not kept.
   */
  noteTold(told: number): boolean {
    return told <= this.#state.told || this.#tryWrite({ told });
  }

  /** The disks as they are from now on; durable when it returns. */
  setDisks(disks: readonly SourceDisk[]): void {
    this.#write({ disks: [...disks] });
  }

  /** The last thing of a clean stop: everything else is durable already. */
  stopCleanly(clean: CleanStop, told: number): void {
    this.#write({ clean, told: Math.max(told, this.#state.told) });
  }

  /** Writes nothing any more, and gives nothing that is not reserved. */
  close(): void {
    this.#closed = true;
  }

  #enough(): number {
    return Math.max(this.#state.reservedTo, this.#head + this.#blockLsns);
  }

  #reserveLater(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#tryReserve();
    });
  }

  #tryReserve(): boolean {
    return this.#tryWrite({ reservedTo: this.#enough() });
  }

  #tryWrite(change: Partial<SourceState>): boolean {
    if (this.#closed) return false;
    const now = this.#clock.monotonicMs();
    if (this.#failedAt !== null && now - this.#failedAt < retryMs) return false;
    try {
      this.#write(change);
      this.#failedAt = null;
      return true;
    } catch (error) {
      if (this.#failedAt === null)
        this.#log.error('reservation-failed', { file: this.#file, errno: errnoOf(error) });
      this.#failedAt = now;
      return false;
    }
  }

  #write(change: Partial<SourceState>): void {
    const state = { ...this.#state, ...change, time: this.#clock.now() };
    writeSourceFile(this.#file, state);
    this.#state = state;
  }
}

const retryMs = 1000;
