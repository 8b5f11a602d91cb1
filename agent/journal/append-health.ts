// Whether a journal takes records: why it refused the last ones, told once for a run of failures.
import { errnoOf, type HomewardError } from '../../core/errors.ts';
import type { SegmentLog } from '../../core/segment-log/segment-log.ts';

export class AppendHealth {
  readonly #log: SegmentLog;
  #failure: HomewardError | null = null;
  /** What failed was the taking of a further segment, not a write. */
  #failureIsAllocation = false;

  /** Why writers wait just now, in words, or null. */
  held: string | null = null;

  constructor(log: SegmentLog) {
    this.#log = log;
  }

  /**
   * Why records were refused last, or null. A small record that still fits in the open segment does not end
   * it while no further segment can be had.
   */
  get failure(): HomewardError | null {
    return this.#failure;
  }

  /** Nothing is appended just now: what comes waits, and with it who sent it. */
  get isWaiting(): boolean {
    return this.held !== null || this.#log.suspended;
  }

  /** Looks whether there is room again, for as long as there is none. */
  retrySpace(): void {
    if (this.#log.retrySpace() && this.#failureIsAllocation) this.#worksAgain();
  }

  /** Told once for a run of failures. What the log itself has failed with, it has told. */
  failed(failure: HomewardError): void {
    if (failure === this.#log.failure) return;
    const isNew = this.#failure?.code !== failure.code;
    this.#failure = failure;
    this.#failureIsAllocation = this.#log.allocationFailure !== null;
    if (!isNew) return;
    this.#log.options.log.error('append-failed', {
      directory: this.#log.options.directory,
      code: failure.code,
      errno: errnoOf(failure),
      error: failure,
    });
  }

  /** A group was appended. */
  appended(): void {
    if (this.#log.allocationFailure === null) this.#worksAgain();
  }

  #worksAgain(): void {
    if (this.#failure === null) return;
    this.#failure = null;
    const { log, directory } = this.#log.options;
    log.warn('append-works-again', { directory });
  }
}
