// What each host said last, and when: changes too fast for the database, so only memory has it.
import type { Clock } from '../../core/clock.ts';
import type { Heartbeat } from '../../core/registration/messages.ts';

export interface Heard {
  heartbeat: Heartbeat;
  /** Where it asks from. */
  address: string;
  /** Microseconds of our wall clock, and milliseconds of our monotonic one. */
  at: number;
  atMs: number;
  /** How far the host's clock is ahead of ours, in milliseconds; what the way takes is in it. */
  skewMs: number;
}

export class Presence {
  readonly #clock: Clock;
  readonly #heard = new Map<string, Heard>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  note(hostId: string, heartbeat: Heartbeat, address: string): Heard {
    const at = this.#clock.now();
    const skewMs = Math.round((heartbeat.time - at) / 1000);
    const heard = { heartbeat, address, at, atMs: this.#clock.monotonicMs(), skewMs };
    this.#heard.set(hostId, heard);
    return heard;
  }

  get(hostId: string): Heard | null {
    return this.#heard.get(hostId) ?? null;
  }

  /** Milliseconds since it was heard, or null when it was not since we started. */
  silentMs(hostId: string): number | null {
    const heard = this.#heard.get(hostId);
    return heard === undefined ? null : this.#clock.monotonicMs() - heard.atMs;
  }

  forget(hostId: string): void {
    this.#heard.delete(hostId);
  }
}
