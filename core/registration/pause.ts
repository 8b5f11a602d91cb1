// Waits that end early: those of a loop that others cut short, those for work when a host stops; and how long
// to wait.
import { HomewardError } from '../errors.ts';

/** One waiter. A `cut` while nobody waits makes the next wait end at once. */
export class Pause {
  #end: (() => void) | null = null;
  #cut = false;

  wait(ms: number): Promise<void> {
    if (this.#cut) {
      this.#cut = false;
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#end?.(), ms);
      this.#end = () => {
        clearTimeout(timer);
        this.#end = null;
        resolve();
      };
    });
  }

  cut(): void {
    if (this.#end === null) this.#cut = true;
    else this.#end();
  }
}

/**
 * What `work` gives; 'interrupted' at once when `signal` aborts first. Unlike a race with a promise that
 * lives as long as the daemon, it leaves nothing behind.
 */
export function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(new HomewardError('interrupted', 'the host is stopping'));
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}

/**
 * Milliseconds before attempt number `failures` + 1: doubled each time from `leastMs` up to `mostMs`, then
 * spread over three quarters to all of it, so that hosts that lost a server together do not come back
 * together.
 */
export function retryDelay(
  failures: number,
  leastMs: number,
  mostMs: number,
  chance: number = Math.random(),
): number {
  const delay = Math.min(mostMs, leastMs * 2 ** Math.min(failures - 1, 20));
  return delay * (0.75 + chance / 4);
}
