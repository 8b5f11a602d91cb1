// The outbox: numbers the changes of a machine and keeps their records until the process server has them.
import type { Welcome } from '../../core/chain/messages.ts';
import { encodeNote, type SyncBeginNote, type TagNote } from '../../core/record/notes.ts';
import { machineBytes, RecordKind } from '../../core/record/record.ts';
import { HeldRecords, type HeldRecordsOptions } from './held-records.ts';
import type { Numbering } from './numbering.ts';
import type { Change, Recorder } from './recorder.ts';

export interface OutboxOptions extends Omit<HeldRecordsOptions, 'machine'> {
  numbering: Numbering;
}

/** Why recording stopped. */
export type StopReason = 'overflow' | 'numbers' | 'lost' | 'outdated' | 'unprotected';

/**
 * Invariants: while `recording`, every change is numbered, and everything above the LSN freed last is held,
 * in LSN order and without holes, the older part on disk and the newer in memory. Once one change could not
 * be taken, none is until the next sync, and nothing is held: the dirty map has it.
 */
export class Outbox implements Recorder {
  readonly #options: OutboxOptions;
  readonly #held: HeldRecords;
  readonly #progress: (() => void)[] = [];
  #recording = false;
  #allowed = false;
  #waking = false;
  #lastTime = 0;
  /** When the newest of the changes that are known to be numbered happened; while recording that is now. */
  #stoppedTime: number;
  #syncBeginLsn = 0;
  /** The `sync-begin` before which nothing is held: it may follow whatever the process server has. */
  #beganAt = 0;
  #spooledLsn = 0;
  #targetLsn = 0;
  #told: number;
  /** Called, a turn later, when there is more to send. */
  onRecords: () => void = () => undefined;
  /** Called when recording has stopped by itself. */
  onStopped: (reason: StopReason) => void = () => undefined;
  /**
   * Called with true when memory fills faster than the disk takes what is spilled, and with false when that
   * has caught up: who can should let the writers wait for a moment, before recording has to stop.
   */
  onPressure: (pressed: boolean) => void = () => undefined;
  /** Called in the turn of a `sync-begin`, behind it. */
  onSyncBegun: () => void = () => undefined;
  /** Set while the process server has little room: a sync holds back. */
  slowed = false;

  private constructor(options: OutboxOptions) {
    this.#options = options;
    const { state } = options.numbering;
    const machine = machineBytes(state.machine);
    this.#held = new HeldRecords({ ...options, machine });
    this.#held.onPressure = (pressed) => this.onPressure(pressed);
    this.#stoppedTime = state.time;
    this.#lastTime = state.time;
    this.#told = state.told;
  }

  /**
   * After a clean stop it goes on where that ended; else what is on disk goes, and recording waits for a
   * sync.
   */
  static async open(options: OutboxOptions): Promise<Outbox> {
    const outbox = new Outbox(options);
    const { resumed } = options.numbering;
    if (resumed !== null) {
      const { heldFrom, head } = resumed;
      outbox.#recording = heldFrom > head || (await outbox.#held.resume(heldFrom, head));
      outbox.#allowed = outbox.#recording;
      if (outbox.#recording) outbox.#spooledLsn = heldFrom - 1;
      else options.log.error('outbox-incomplete', { from: heldFrom, to: head });
    }
    if (!outbox.#recording || outbox.#held.firstLsn === null) outbox.#held.clear();
    return outbox;
  }

  get recording(): boolean {
    return this.#recording;
  }
  get headLsn(): number {
    return this.#options.numbering.head;
  }
  get spooledLsn(): number {
    return this.#spooledLsn;
  }
  get targetLsn(): number {
    return this.#targetLsn;
  }
  /** The highest position of the master target that was ever told, as far as is known. */
  get told(): number {
    return this.#told;
  }
  keepTold(): boolean {
    return this.#options.numbering.noteTold(this.#told);
  }
  get generation(): number {
    return this.#options.numbering.generation;
  }
  /** The LSN of the newest `sync-begin` of this run, or 0. */
  get syncBeginLsn(): number {
    return this.#syncBeginLsn;
  }
  get crowded(): boolean {
    return this.slowed || this.#held.crowded;
  }
  /** The first LSN that can still be sent; `headLsn` + 1 when there is none. */
  get heldFrom(): number {
    return this.#held.firstLsn ?? this.headLsn + 1;
  }
  /** Bytes that the process server does not have, whole files counted. */
  get backlogBytes(): number {
    return this.#held.bytes;
  }
  /** Microseconds of the source's clock, never decreasing. */
  now(): number {
    this.#lastTime = Math.max(this.#lastTime, this.#options.clock.now());
    return this.#lastTime;
  }
  /** As of when everything up to the head is all that happened. */
  get headTime(): number {
    return this.#recording ? this.now() : this.#stoppedTime;
  }

  onProgress(listener: () => void): void {
    this.#progress.push(listener);
  }

  record(change: Change): number | null {
    const { kind, flags, disk, offset, length, payload } = change;
    return this.#add({ kind, flags, disk, offset, length }, payload)?.lsn ?? null;
  }

  tag(note: TagNote): { lsn: number; time: number } | null {
    return this.#add(noteRecord(RecordKind.tag), encodeNote(note));
  }

  syncEnd(): { lsn: number; time: number } | null {
    return this.#add(noteRecord(RecordKind.syncEnd), null);
  }

  /** The generation is durable before the record can be sent. */
  syncBegin(note: SyncBeginNote): { lsn: number; time: number } | null {
    if (!this.#allowed || this.#options.numbering.nextGeneration() === null) return null;
    const began = this.#recording;
    this.#recording = true;
    const begun = this.#add(noteRecord(RecordKind.syncBegin), encodeNote(note));
    if (begun === null) return null;
    this.#syncBeginLsn = begun.lsn;
    if (!began) this.#beganAt = begun.lsn;
    this.onSyncBegun();
    return begun;
  }

  /** Whether a sync may begin; without that nothing is recorded. */
  allow(allowed: boolean): void {
    this.#allowed = allowed;
    if (!allowed && this.#recording) this.#stop();
  }

  /**
   * What the process server said at the beginning of a stream, against what is held. A reason: nothing is
   * recorded any more, since the sequence cannot be carried on ('lost'), or since this is an old copy of the
   * source ('outdated').
   */
  meet({
    spooled,
    target,
    generation,
  }: Pick<Welcome, 'spooled' | 'target' | 'generation'>): StopReason | null {
    const newest = Math.max(spooled, target);
    if (newest > this.headLsn || generation > this.generation) {
      // First, since it may fail: then the stream ends, and the next one finds the same.
      this.#options.numbering.skipTo(newest, generation);
      this.giveUp('outdated');
      return 'outdated';
    }
    const { heldFrom } = this;
    if (!this.#recording || heldFrom <= spooled + 1 || heldFrom === this.#beganAt) return null;
    this.giveUp('lost');
    return 'lost';
  }

  /** What is held cannot be read. */
  loseRecords(): void {
    this.#stopByItself('lost');
  }

  /** The records that can be sent. */
  get held(): HeldRecords {
    return this.#held;
  }

  /** Drops everything and records nothing until a sync: the sequence cannot be carried on. */
  giveUp(reason: StopReason): void {
    if (this.#recording) this.#options.log.warn('recording-stopped', { reason, lsn: this.headLsn });
    this.#stop();
  }

  /** What the process server said: it has everything up to `spooled`, the master target up to `target`. */
  acknowledged(spooled: number, target: number): void {
    const moved = spooled !== this.#spooledLsn || target !== this.#targetLsn;
    this.#spooledLsn = spooled;
    this.#targetLsn = target;
    if (!moved) return;
    this.#told = Math.max(this.#told, target);
    this.#held.free(spooled);
    for (const listener of this.#progress) listener();
  }

  /**
   * Ends it. With `whole` everything held is made durable first, and what a clean stop leaves comes back;
   * null when the sequence is not whole.
   */
  async close(whole: boolean): Promise<{ head: number; heldFrom: number } | null> {
    const recorded = this.#recording;
    this.#recording = false;
    this.#allowed = false;
    const first = whole && recorded ? await this.#held.close() : null;
    if (first !== null) return { head: this.headLsn, heldFrom: Math.min(first, this.headLsn + 1) };
    await this.#held.discard();
    return null;
  }

  #add(
    fields: { kind: RecordKind; flags: number; disk: number; offset: number; length: number },
    data: Buffer | null,
  ): { lsn: number; time: number } | null {
    if (!this.#recording) return null;
    if (!this.#held.hasRoom) return this.#stopByItself('overflow');
    const lsn = this.#options.numbering.next();
    if (lsn === null) return this.#stopByItself('numbers');
    const time = this.now();
    this.#held.add({ ...fields, lsn, time, generation: this.generation }, data);
    this.#wake();
    return { lsn, time };
  }

  #stopByItself(reason: StopReason): null {
    this.giveUp(reason);
    this.onStopped(reason);
    return null;
  }

  /** What is dropped happened, and nobody will have it: the time is that of the first of it. */
  #stop(): void {
    if (this.#recording) this.#stoppedTime = this.#held.firstTime ?? this.now();
    this.#recording = false;
    this.#held.drop();
  }

  #wake(): void {
    if (this.#waking) return;
    this.#waking = true;
    setImmediate(() => {
      this.#waking = false;
      this.onRecords();
    });
  }
}

const noteRecord = (kind: RecordKind) => ({ kind, flags: 0, disk: 0, offset: 0, length: 0 });
