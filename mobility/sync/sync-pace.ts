// Lets a sync go on only while little of it waits to be sent: live writes go first in every queue.
import { limits } from '../../core/limits.ts';
import type { CapturedDisks } from '../capture/captured-disks.ts';
import type { Recorder } from '../outbox/recorder.ts';

/** A disk that was written within this counts as busy. */
const busyMs = 1_000;
/** The rate is that of at least this long. */
const measureMs = 500;

export class SyncPace {
  readonly #recorder: Recorder;
  readonly #captured: CapturedDisks;
  readonly #nowMs: () => number;
  /** Records of the sync that the process server does not have yet, oldest first. */
  #unsent: { lsn: number; bytes: number }[] = [];
  #unsentBytes = 0;
  #sending = { since: 0, bytes: 0 };
  #bytesPerSecond = Infinity;
  #changedBytes: number;
  #changedMs = -Infinity;
  /** When the last piece was let through, and what the process server had then. */
  #last: { ms: number; spooledLsn: number };
  #wake: (() => void) | null = null;

  constructor(recorder: Recorder, captured: CapturedDisks, nowMs: () => number) {
    this.#recorder = recorder;
    this.#captured = captured;
    this.#nowMs = nowMs;
    this.#changedBytes = captured.changedBytes;
    this.#last = { ms: nowMs(), spooledLsn: recorder.spooledLsn };
    recorder.onProgress(() => this.#wake?.());
  }

  /** A record of the sync was numbered. */
  sent(lsn: number, bytes: number): void {
    this.#unsent.push({ lsn, bytes });
    this.#unsentBytes += bytes;
  }

  /** Of an earlier sync; its records are the outbox's affair. */
  begin(): void {
    this.#unsent = [];
    this.#unsentBytes = 0;
  }

  /** Resolves when the next piece may be read and numbered. Throws the reason of the signal. */
  async room(signal: AbortSignal): Promise<void> {
    await this.until(() => this.#hasRoom() || this.#isOverdue(), signal);
    this.#last = { ms: this.#nowMs(), spooledLsn: this.#recorder.spooledLsn };
  }

  /** While the chain moves, a workload that always fills the outbox must not put off a sync for ever. */
  #isOverdue(): boolean {
    const { ms, spooledLsn } = this.#last;
    return this.#nowMs() - ms >= limits.syncLeastMs && this.#recorder.spooledLsn > spooledLsn;
  }

  /** Asked again whenever a position moves, and a few times a second. */
  async until(condition: () => boolean, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    while (!condition()) {
      await this.#moved(limits.syncWaitMs, signal);
      signal.throwIfAborted();
    }
  }

  /** Rests for a while; ends early, without an error, when the signal is given. */
  #moved(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', wake);
        this.#wake = null;
        resolve();
      };
      const timer = setTimeout(wake, ms);
      signal.addEventListener('abort', wake);
      this.#wake = wake;
    });
  }

  /** Of the sync's records, what the process server does not have yet. */
  get unsentBytes(): number {
    const { spooledLsn } = this.#recorder;
    const before = this.#unsentBytes;
    let sent = 0;
    for (const { lsn, bytes } of this.#unsent) {
      if (lsn > spooledLsn) break;
      this.#unsentBytes -= bytes;
      sent += 1;
    }
    if (sent > 0) this.#unsent.splice(0, sent);
    this.#measure(before - this.#unsentBytes);
    return this.#unsentBytes;
  }

  /** How fast it goes out, as long as something waits for that. */
  #measure(sentBytes: number): void {
    const { since, bytes } = this.#sending;
    const nowMs = this.#nowMs();
    if (this.#unsent.length === 0) {
      this.#sending = { since: nowMs, bytes: 0 };
      return;
    }
    this.#sending = { since, bytes: bytes + sentBytes };
    if (nowMs - since < measureMs) return;
    this.#bytesPerSecond = ((bytes + sentBytes) * 1000) / (nowMs - since);
    this.#sending = { since: nowMs, bytes: 0 };
  }

  #hasRoom(): boolean {
    const most = this.#isBusy() ? limits.syncUnsentBusyBytes : limits.syncUnsentBytes;
    // On a slow line a write that comes now would wait for all of it.
    const soon = Math.max(2 * limits.syncPieceBytes, this.#bytesPerSecond * (limits.syncUnsentMs / 1000));
    return !this.#recorder.crowded && this.unsentBytes < Math.min(most, soon);
  }

  /** The workload has written of late. */
  get busy(): boolean {
    return this.#isBusy();
  }

  #isBusy(): boolean {
    const { changedBytes } = this.#captured;
    if (changedBytes !== this.#changedBytes) this.#changedMs = this.#nowMs();
    this.#changedBytes = changedBytes;
    return this.#nowMs() - this.#changedMs < busyMs;
  }
}
