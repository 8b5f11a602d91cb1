// Has scans made: each interval, and when somebody asks for a tag.
import type { Clock } from '../../core/clock.ts';
import { HomewardError } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import type { ScanPoint, ScanRequest, Scans } from './scans.ts';

export interface ScanScheduleOptions {
  scans: Scans;
  everyMs: number;
  /** Why there can be no scan now, or null. */
  refusal(): HomewardError | null;
  /** A sync is under way or wanted, a scan among them. */
  syncing(): boolean;
  /** Has one made. */
  begin(): void;
  clock: Clock;
  checkMs?: number;
}

/** One begins so long after the one before began, or when that is done. */
export class ScanSchedule {
  readonly #options: ScanScheduleOptions;
  #timer: NodeJS.Timeout | null = null;
  #dueMs: number;
  #wasSyncing = false;
  readonly #waiting = new Set<() => void>();
  #stopped = false;

  constructor(options: ScanScheduleOptions) {
    this.#options = options;
    this.#dueMs = options.clock.monotonicMs();
  }

  start(): void {
    this.#timer = setInterval(() => this.check(), this.#options.checkMs ?? limits.scanCheckMs).unref();
  }

  /** Begins one if it is due. */
  check(): void {
    const { scans, clock, everyMs, refusal, syncing, begin } = this.#options;
    const now = clock.monotonicMs();
    // Any sync of the machine scans.
    if (syncing() && !this.#wasSyncing) this.#dueMs = now + everyMs;
    this.#wasSyncing = syncing();
    for (const look of this.#waiting) look();
    if (this.#stopped || syncing() || scans.isPending || !this.#isDue(now) || refusal() !== null) return;
    this.#dueMs = now + everyMs;
    this.#wasSyncing = true;
    begin();
  }

  /** Neither was one begun lately nor, before this service was started, one made. */
  #isDue(now: number): boolean {
    const { scans, clock, everyMs } = this.#options;
    const { lastTime } = scans;
    return now >= this.#dueMs && (lastTime === null || (clock.now() - lastTime) / 1000 >= everyMs);
  }

  /** Has one made now; resolves when it is durable at the master target with that tag. */
  take(request: ScanRequest, withinMs: number = limits.scanTagMs): Promise<ScanPoint> {
    const { scans, syncing, begin } = this.#options;
    const refused = this.#options.refusal();
    if (refused !== null) return Promise.reject(refused);
    if (syncing() || scans.isPending || this.#stopped)
      return Promise.reject(
        new HomewardError('conflict', 'a scan or a sync is under way', {
          hint: 'It ends in a tag of its own (`homeward points M`); ask again when it has ended.',
        }),
      );
    const before = scans.point?.lsn ?? 0;
    scans.request = request;
    begin();
    return this.#outcome(before, withinMs);
  }

  /** Behind the end of syncs. Whoever waits is told that the service stops. */
  stop(): void {
    this.#stopped = true;
    if (this.#timer !== null) clearInterval(this.#timer);
    for (const look of this.#waiting) look();
  }

  #outcome(before: number, withinMs: number): Promise<ScanPoint> {
    const { scans, syncing } = this.#options;
    return new Promise((resolve, reject) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(look);
      };
      const fail = (error: HomewardError): void => {
        end();
        reject(error);
      };
      const look = (): void => {
        const { point } = scans;
        const stopped = this.#stopped;
        if (!stopped && (syncing() || scans.isPending)) return;
        if (point !== null && point.lsn > before) {
          end();
          return resolve(point);
        }
        if (stopped) return fail(new HomewardError('interrupted', 'the service stops'));
        fail(scans.failure ?? new HomewardError('conflict', 'the scan was ended: its records were lost'));
      };
      const timer = setTimeout(() => {
        const message = `the scan has not ended within ${withinMs / 1000} s; it goes on`;
        fail(new HomewardError('timed-out', message, { hint: '`homeward points M` lists its tag then.' }));
      }, withinMs);
      this.#waiting.add(look);
    });
  }
}
