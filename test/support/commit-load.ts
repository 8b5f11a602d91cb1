// A database at work: transactions over two tables, which therefore agree at every moment, each remembered
// with the LSNs around its commit.
import type { Random } from './random.ts';
import type { SqlSession } from './sql-session.ts';

export interface CommitLoadOptions {
  session: SqlSession;
  random: Random;
  /** The newest LSN of the disk below. */
  head(): Promise<number>;
  /** What the database is told now and then, such as to write a checkpoint; each answers with one line. */
  upkeep: readonly string[];
}

/** Transaction `n` was committed when `lsn` was the newest LSN, and not yet begun at `begunAfter`. */
interface Commit {
  n: number;
  begunAfter: number;
  lsn: number;
}

export const commitSchema = `
  CREATE TABLE entry (id INTEGER PRIMARY KEY, body TEXT NOT NULL);
  CREATE TABLE total (entries INTEGER NOT NULL, newest INTEGER NOT NULL, bytes INTEGER NOT NULL);
  INSERT INTO total VALUES (0, 0, 0);`;

/** The newest transaction; then 1 when both tables agree on how many there are and what is in them. */
export const commitsThere = `SELECT (SELECT newest FROM total) || ' ' ||
  (CASE WHEN count(*) = (SELECT entries FROM total)
  AND coalesce(max(id), 0) = (SELECT newest FROM total)
  AND coalesce(sum(length(body)), 0) = (SELECT bytes FROM total) THEN 1 ELSE 0 END) FROM entry;`;

const upkeepEvery = 60;
/** Entries that stay; older ones go, so that pages are used again. */
const entriesKept = 200;

export class CommitLoad {
  readonly #options: CommitLoadOptions;
  readonly #commits: Commit[] = [];
  readonly #lengths = new Map<number, number>();

  constructor(options: CommitLoadOptions) {
    this.#options = options;
  }

  async work(operations: number): Promise<void> {
    const { session, random, head, upkeep } = this.#options;
    for (let at = 0; at < operations; at += 1) {
      const n = this.#commits.length + 1;
      const begunAfter = await head();
      await session.ask(this.#transaction(n, 10 + random.below(12_000)));
      this.#commits.push({ n, begunAfter, lsn: await head() });
      if (n % upkeepEvery === 0) await session.ask(random.pick(upkeep));
    }
  }

  /** At `lsn` at least so many transactions are there, and at most so many. */
  expectedAt(lsn: number): [number, number] {
    const least = this.#commits.findLast((commit) => commit.lsn <= lsn)?.n ?? 0;
    const most = (this.#commits.find((commit) => commit.begunAfter >= lsn)?.n ?? Infinity) - 1;
    return [least, most];
  }

  #transaction(n: number, length: number): string {
    // Something that does not compress, as long as it is to be.
    const body = this.#options.random.bytes(length / 2).toString('hex');
    this.#lengths.set(n, body.length);
    const old = n - entriesKept;
    const gone = this.#lengths.get(old) ?? 0;
    const change = body.length - gone;
    return `BEGIN; INSERT INTO entry VALUES (${n}, '${body}'); DELETE FROM entry WHERE id = ${old};
      UPDATE total SET entries = entries + ${old > 0 ? 0 : 1}, newest = ${n}, bytes = bytes + ${change};
      COMMIT; SELECT ${n};`;
  }
}
