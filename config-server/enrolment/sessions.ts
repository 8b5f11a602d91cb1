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

interface Entry {
  session: EnrolmentSession;
  /** When it began, or proved the passphrase last. */
  usedMs: number;
  proved: boolean;
}

export class EnrolmentSessions {
  readonly #nowMs: () => number;
  /** The longest unused first. */
  readonly #sessions = new Map<string, Entry>();

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  /** When there are too many, the oldest goes that has proved nothing; else throws 'too-many-attempts'. */
  begin(session: EnrolmentSession): string {
    this.#forgetOld();
    if (this.#sessions.size >= limits.enrolmentSessions) this.#makeRoom();
    const id = randomUUID();
    this.#sessions.set(id, { session, usedMs: this.#nowMs(), proved: false });
    return id;
  }

  /** Null when there is none, or it has not been proved in a long time. */
  get(id: string): EnrolmentSession | null {
    this.#forgetOld();
    return this.#sessions.get(id)?.session ?? null;
  }

  /** It has proved the passphrase, and lives on. */
  proved(id: string): void {
    const found = this.#sessions.get(id);
    if (found === undefined) return;
    this.#sessions.delete(id);
    this.#sessions.set(id, { ...found, usedMs: this.#nowMs(), proved: true });
  }

  #forgetOld(): void {
    const now = this.#nowMs();
    for (const [id, { usedMs }] of this.#sessions) {
      if (now - usedMs < limits.enrolmentSessionMs) return;
      this.#sessions.delete(id);
    }
  }

  #makeRoom(): void {
    for (const [id, { proved }] of this.#sessions) {
      if (proved) continue;
      this.#sessions.delete(id);
      return;
    }
    throw new HomewardError('too-many-attempts', `${this.#sessions.size} hosts enrol at this moment`);
  }
}
