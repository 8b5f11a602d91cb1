// Hands assignments to the daemon when they change, and again when it could not take them.
import type { SignedAssignment } from '../identity/assignment.ts';
import type { Log } from '../log.ts';

type Take = (signed: readonly SignedAssignment[]) => Promise<void> | void;

export class AssignmentDelivery {
  readonly #take: Take;
  readonly #log: Log;
  /** The texts that were taken last. */
  #taken: string | null = null;
  /** Not taken yet. */
  #waiting: readonly SignedAssignment[] | null = null;
  #failed = false;
  #turn: Promise<void> = Promise.resolve();

  constructor(take: Take, log: Log) {
    this.#take = take;
    this.#log = log;
  }

  offer(signed: readonly SignedAssignment[]): void {
    this.#waiting = signed;
    this.retry();
  }

  /** Begins another attempt when the last one failed; one delivery at a time. */
  retry(): void {
    if (this.#waiting !== null) this.#turn = this.#turn.then(() => this.#deliver());
  }

  /** Resolves when no delivery is under way. */
  ended(): Promise<void> {
    return this.#turn;
  }

  async #deliver(): Promise<void> {
    const signed = this.#waiting;
    if (signed === null) return;
    this.#waiting = null;
    const texts = JSON.stringify(signed.map(({ text }) => text));
    if (texts === this.#taken) return;
    try {
      await this.#take(signed);
      this.#taken = texts;
      this.#failed = false;
    } catch (error) {
      // Newer ones that came meanwhile take the place of these.
      this.#waiting ??= signed;
      if (!this.#failed) {
        this.#log.warn('assignments-not-taken', { error: error instanceof Error ? error : String(error) });
      }
      this.#failed = true;
    }
  }
}
