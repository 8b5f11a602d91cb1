// What each ledger was at last: the head that a master target sends, by which an edit of its past shows.
import type { Clock } from '../../core/clock.ts';
import { limits } from '../../core/limits.ts';
import type { LedgerHead } from '../../core/registration/machine-status.ts';
import type { NewEvent } from '../state/event-log.ts';
import type { LedgerRow, State } from '../state/tables.ts';

interface Known {
  head: LedgerHead;
  /** Microseconds, and in words, when it went back last. */
  wentBack: { at: number; what: string } | null;
}

/** By master target and machine: one that another takes over begins a ledger of its own. */
export class LedgerHeads {
  readonly #state: State;
  readonly #clock: Clock;
  readonly #known: Map<string, Known>;

  private constructor(state: State, clock: Clock, known: Map<string, Known>) {
    this.#state = state;
    this.#clock = clock;
    this.#known = known;
  }

  static async open(state: State, clock: Clock): Promise<LedgerHeads> {
    const rows = await state.selectFrom('ledgers').selectAll().execute();
    return new LedgerHeads(
      state,
      clock,
      new Map(rows.map((row) => [keyOf(row.host, row.machine), fromRow(row)])),
    );
  }

  /**
   * Remembers the head; the event when it is not where the one before led to. What is said then counts, so
   * that it is told once. Crash order: 1 event · 2 head; after a crash between it is told again.
   */
  async note(
    { host, machine, name }: { host: string; machine: string; name: string },
    head: LedgerHead,
    tell: (event: NewEvent) => Promise<void>,
  ): Promise<void> {
    const key = keyOf(host, machine);
    const before = this.#known.get(key) ?? null;
    if (before?.head.n === head.n && before.head.hash === head.hash) return;
    const what = before === null ? null : wentBack(before.head, head);
    const known = { head, wentBack: before?.wentBack ?? null };
    if (what !== null) {
      known.wentBack = { at: this.#clock.now(), what };
      const message = `the ledger of ${name} ${what}: its history was changed, or put back from a copy`;
      await tell({ kind: 'ledger-went-back', severity: 'critical', host, machine, message });
    }
    const row = { n: head.n, hash: head.hash, ...toRow(known.wentBack) };
    await this.#state
      .insertInto('ledgers')
      .values({ host, machine, ...row })
      .onConflict((conflict) => conflict.columns(['host', 'machine']).doUpdateSet(row))
      .execute();
    this.#known.set(key, known);
  }

  /** For the status, for a while after it went back; null else. */
  warning(host: string, machine: string): string | null {
    const { wentBack: last = null } = this.#known.get(keyOf(host, machine)) ?? {};
    if (last === null || this.#clock.now() - last.at > limits.ledgerWarnedMs * 1000) return null;
    return `its ledger ${last.what}: see \`homeward events\`, and run \`homeward verify\``;
  }
}

/** In words, or null for one that went on. */
function wentBack(before: LedgerHead, now: LedgerHead): string | null {
  if (now.n > before.n) return null;
  if (now.n < before.n) return `went back from line ${before.n} to ${now.n}`;
  return now.hash === before.hash ? null : `has another line ${now.n} than before`;
}

const keyOf = (host: string, machine: string): string => `${host} ${machine}`;

const fromRow = ({ n, hash, went_back_at: at, went_back: what }: LedgerRow): Known => ({
  head: { n, hash },
  wentBack: at === null || what === null ? null : { at, what },
});

const toRow = (last: Known['wentBack']): Pick<LedgerRow, 'went_back_at' | 'went_back'> => ({
  went_back_at: last?.at ?? null,
  went_back: last?.what ?? null,
});
