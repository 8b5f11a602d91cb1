// Enrolments under way: what the client said at the beginning, for the proof that follows.
import { randomUUID } from 'node:crypto';
import { HomewardError } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import type { HostRole } from '../../core/identity/host-identity.ts';

export interface EnrolmentSession {
  hostId: string;
  role: HostRole;
  name: string;
  version: string;
  clientNonce: Buffer;
  serverNonce: Buffer;
}

export class EnrolmentSessions {
  readonly #nowMs: () => number;
  readonly #sessions = new Map<string, { session: EnrolmentSession; usedMs: number }>();

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** Throws 'too-many-attempts' while too many are under way. */
  begin(session: EnrolmentSession): string {
    this.#forgetOld();
    if (this.#sessions.size >= limits.enrolmentSessions) {
      const message = `${this.#sessions.size} hosts enrol at this moment`;
      throw new HomewardError('too-many-attempts', message);
    }
    const id = randomUUID();
    this.#sessions.set(id, { session, usedMs: this.#nowMs() });
    return id;
  }

  /** Null when there is none, or it has not been asked for in a long time. */
  get(id: string): EnrolmentSession | null {
    this.#forgetOld();
    const found = this.#sessions.get(id);
    if (found === undefined) return null;
    // Last in the order of use.
    this.#sessions.delete(id);
    this.#sessions.set(id, { ...found, usedMs: this.#nowMs() });
    return found.session;
  }

  #forgetOld(): void {
    const now = this.#nowMs();
    for (const [id, { usedMs }] of this.#sessions) {
      if (now - usedMs < limits.enrolmentSessionMs) return;
      this.#sessions.delete(id);
    }
  }
}
