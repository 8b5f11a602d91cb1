// Long polls of hosts: answered when there is something new for them, or in the end.
import { limits } from '../../core/limits.ts';

export class WorkDesk {
  readonly #sleepers = new Map<string, Set<() => void>>();

  /** Resolves when the host is woken, after `waitMs`, or when `signal` aborts. */
  wait(hostId: string, waitMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const sleepers = this.#sleepers.get(hostId) ?? new Set();
      this.#sleepers.set(hostId, sleepers);
      const timer = setTimeout(() => wake(), Math.min(waitMs, limits.workWaitMs));
      const wake = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', wake);
        sleepers.delete(wake);
        if (sleepers.size === 0 && this.#sleepers.get(hostId) === sleepers) this.#sleepers.delete(hostId);
        resolve();
      };
      sleepers.add(wake);
      if (signal.aborted) return wake();
      signal.addEventListener('abort', wake, { once: true });
    });
  }

  wake(hostId: string): void {
    for (const wake of [...(this.#sleepers.get(hostId) ?? [])]) wake();
  }
}
