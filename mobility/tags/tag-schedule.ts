// Takes a tag each consistency interval in which something was written.
import { formatTime, type Clock } from '../../core/clock.ts';
import { toHomewardError } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import type { Recorder } from '../outbox/recorder.ts';
import type { Tagger, TakenTag } from './tagger.ts';

export interface TagScheduleOptions {
  tagger: Tagger;
  recorder: Recorder;
  /** Milliseconds; 0 or null: no tags. Asked again each time. */
  intervalMs(): number | null;
  /** Whether a tag would be a point just now. */
  possible(): boolean;
  clock: Clock;
  log: Log;
}

const checkMs = 1_000;

export class TagSchedule {
  readonly #options: TagScheduleOptions;
  #timer: NodeJS.Timeout | null = null;
  #takenAt: number;
  #takenLsn = 0;
  #taking: Promise<void> | null = null;

  constructor(options: TagScheduleOptions) {
    this.#options = options;
    this.#takenAt = options.clock.monotonicMs();
  }

  start(): void {
    this.#timer = setInterval(() => this.check(), checkMs).unref();
  }

  /** Takes one if it is due. */
  check(): void {
    const { clock, recorder, possible } = this.#options;
    const intervalMs = this.#options.intervalMs() ?? 0;
    if (intervalMs <= 0 || this.#taking !== null || !possible()) return;
    if (clock.monotonicMs() - this.#takenAt < intervalMs || recorder.headLsn <= this.#takenLsn) return;
    this.#takenAt = clock.monotonicMs();
    this.#taking = this.#take().then(() => {
      this.#taking = null;
    });
  }

  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    await this.#taking;
  }

  /** Never rejects. */
  async #take(): Promise<void> {
    const { clock, log } = this.#options;
    const name = `auto-${formatTime(clock.now()).slice(0, 19)}Z`;
    try {
      this.#takenLsn = (await this.#tag(name)).lsn;
    } catch (error) {
      log.warn('tag-not-taken', { name, error: toHomewardError(error) });
    }
  }

  async #tag(name: string): Promise<TakenTag> {
    const { tagger, log } = this.#options;
    if (!tagger.hasScript) return tagger.take(name, 'crash');
    try {
      return await tagger.takeWithScript(name);
    } catch (error) {
      const known = toHomewardError(error);
      if (known.code !== 'script-failed') throw known;
      log.warn('custom-script-failed', { step: '--pre', name, error: known });
      return tagger.take(name, 'crash');
    }
  }
}
