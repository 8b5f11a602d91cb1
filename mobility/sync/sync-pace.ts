// Lets a sync go on only while little of it waits to be sent: live writes go first in every queue.
import { limits } from '../../core/limits.ts';
import type { CapturedDisks } from '../capture/captured-disks.ts';
import type { Recorder } from '../outbox/recorder.ts';

/** A disk that was written within this counts as busy. */
const busyMs = 1_000;

export class SyncPace {
  readonly #recorder: Recorder;
  readonly #captured: CapturedDisks;
  readonly #nowMs: () => number;
  /** Records of the sync that the process server does not have yet, oldest first. */
  #unsent: { lsn: number; bytes: number }[] = [];
  #unsentBytes = 0;
  #changedBytes: number;
  #changedMs = -Infinity;
  #wake: (() => void) | null = null;

  constructor(recorder: Recorder, captured: CapturedDisks, nowMs: () => number) {
    this.#recorder = recorder;
    this.#captured = captured;
    this.#nowMs = nowMs;
    this.#changedBytes = captured.changedBytes;
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
  room(signal: AbortSignal): Promise<void> {
    return this.until(() => this.#hasRoom(), signal);
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

  #hasRoom(): boolean {
    const { spooledLsn, crowded } = this.#recorder;
    let sent = 0;
    for (const { lsn, bytes } of this.#unsent) {
      if (lsn > spooledLsn) break;
      this.#unsentBytes -= bytes;
      sent += 1;
    }
    if (sent > 0) this.#unsent.splice(0, sent);
    const most = this.#isBusy() ? limits.syncUnsentBusyBytes : limits.syncUnsentBytes;
    return !crowded && this.#unsentBytes < most;
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
