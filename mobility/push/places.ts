// A place among those that sync at a time: asked for at the process server, and asked again after a break.
import type { Note } from '../../core/chain/messages.ts';

/** Whoever waits, waits through any number of streams; a place that was had is claimed again in a new one. */
export class Places {
  readonly #send: (note: Note) => boolean;
  #wanted = false;
  #waiting: { onAhead(ahead: number): void; granted(): void } | null = null;

  /** `send` gives back false when there is no stream. */
  constructor(send: (note: Note) => boolean) {
    this.#send = send;
  }

  /** Resolves when it is our turn; rejects with the reason of the signal. */
  request(onAhead: (ahead: number) => void, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#wanted = true;
    return new Promise((resolve, reject) => {
      const end = (): void => {
        this.#waiting = null;
        signal.removeEventListener('abort', aborted);
      };
      const aborted = (): void => {
        end();
        reject(signal.reason as Error);
      };
      signal.addEventListener('abort', aborted);
      const granted = (): void => {
        end();
        resolve();
      };
      this.#waiting = { onAhead, granted };
      this.#send({ kind: 'sync-wanted' });
    });
  }

  /** Not wanted any more. */
  done(): void {
    if (this.#wanted) this.#send({ kind: 'sync-done' });
    this.#wanted = false;
  }

  /** There is a new stream. */
  connected(): void {
    if (this.#wanted) this.#send({ kind: 'sync-wanted' });
  }

  placed(ahead: number): void {
    if (ahead > 0) this.#waiting?.onAhead(ahead);
    else this.#waiting?.granted();
  }
}
