// Real file systems with a database writing on them: at any moment they mount, are sound, and hold what was
// committed.
import fs from 'node:fs';
import t, { type Test } from 'tap';
import { MasterTarget, nbdUri, runOk } from '../support/homeward.ts';
import { loopDeviceMissing } from '../support/loop-device.ts';
import {
  attachFile,
  attachNbd,
  checkFileSystem,
  makeFileSystem,
  mount,
  mountCommands,
  type FileSystem,
} from '../support/mounted-disk.ts';
import { skipUnless } from '../support/needs.ts';
import { chooseSeed, seededRandom, type Random } from '../support/random.ts';
import { SqlSession } from '../support/sql-session.ts';

t.setTimeout(240_000);

const missing =
  skipUnless({ root: true, commands: [...mountCommands, 'sqlite3'], files: ['/dev/fuse'] }) ||
  (loopDeviceMissing() ?? false);

/** Transaction `n` was committed when `lsn` was the newest LSN, and not yet begun at `begunAfter`. */
interface Commit {
  n: number;
  begunAfter: number;
  lsn: number;
}

/** At `lsn` at least this many transactions are there, and at most that many. */
function expectedCommits(commits: readonly Commit[], lsn: number): [number, number] {
  const least = commits.findLast((commit) => commit.lsn <= lsn)?.n ?? 0;
  const most = (commits.find((commit) => commit.begunAfter >= lsn)?.n ?? Infinity) - 1;
  return [least, most];
}

const schema = `
  CREATE TABLE entry (id INTEGER PRIMARY KEY, body TEXT NOT NULL);
  CREATE TABLE total (entries INTEGER NOT NULL, bytes INTEGER NOT NULL);
  INSERT INTO total VALUES (0, 0);`;

/** One transaction over two tables, which therefore agree at every moment. */
const transaction = (n: number, body: string): string => `BEGIN; INSERT INTO entry VALUES (${n}, '${body}');
  UPDATE total SET entries = entries + 1, bytes = bytes + ${body.length}; COMMIT; SELECT ${n};`;

/** How many transactions there are; then 1 when both tables agree and none is missing in between. */
const countEntries = `SELECT count(*) || ' ' || (count(*) = coalesce(max(id), 0)
  AND count(*) = (SELECT entries FROM total)
  AND coalesce(sum(length(body)), 0) = (SELECT bytes FROM total)) FROM entry;`;

async function commitMany(
  target: MasterTarget,
  session: SqlSession,
  random: Random,
  count: number,
): Promise<Commit[]> {
  const commits: Commit[] = [];
  const head = async (): Promise<number> => (await target.status('shop')).headLsn;
  for (let n = 1; n <= count; n += 1) {
    const begunAfter = await head();
    await session.ask(transaction(n, 'x'.repeat(10 + random.below(6000))));
    commits.push({ n, begunAfter, lsn: await head() });
  }
  return commits;
}

interface Run {
  kind: FileSystem;
  size: string;
  journalMode: string;
  points: number;
}

async function sqliteRun(t: Test, { kind, size, journalMode, points }: Run): Promise<void> {
  const random = seededRandom(chooseSeed(t));
  const target = await MasterTarget.start(t, { SegmentBytes: '8M' });
  const socket = await target.ingest('shop', [`system=${size}`]);
  const device = await attachNbd(t, target.directory, nbdUri(socket, 'system'));
  await makeFileSystem(kind, device);
  const disk = target.inDirectory('disk');
  const unmount = await mount(t, kind, device, disk);
  const session = SqlSession.start('sqlite3', ['-bail', `${disk}/shop.db`]);
  await session.ask(`PRAGMA journal_mode = ${journalMode};`);
  // With a rollback journal only EXTRA makes a commit outlast a power cut: it syncs the directory, too.
  await session.ask(`PRAGMA synchronous = EXTRA; ${schema} SELECT 'made';`);
  const { headLsn: first } = await target.status('shop');
  const commits = await commitMany(target, session, random, 150);
  const { headLsn: last } = await target.status('shop');
  t.comment(`150 transactions over lsn:${first} to lsn:${last}`);
  await session.close();
  await unmount();
  for (const lsn of [last, ...Array.from({ length: points - 1 }, () => first + random.below(last - first))]) {
    await checkSqlite(t, { target, kind, lsn, bounds: expectedCommits(commits, lsn) });
  }
}

interface Point {
  target: MasterTarget;
  kind: FileSystem;
  lsn: number;
  bounds: [number, number];
}

async function checkSqlite(t: Test, { target, kind, lsn, bounds: [least, most] }: Point): Promise<void> {
  const directory = target.inDirectory(`at-${lsn}`);
  await target.ask('recover', 'shop', '--at', `lsn:${lsn}`, '--to', `raw:${directory}`);
  const device = await attachFile(t, `${directory}/system.raw`);
  const disk = `${directory}/disk`;
  const unmount = await mount(t, kind, device, disk);
  const database = `${disk}/shop.db`;
  t.equal(
    (await runOk('sqlite3', [database, 'PRAGMA integrity_check'])).trim(),
    'ok',
    `lsn:${lsn}: the database is sound`,
  );
  const [count, whole] = (await runOk('sqlite3', [database, countEntries])).trim().split(' ').map(Number);
  t.equal(whole, 1, 'its transactions are whole, and none is missing in between');
  t.ok((count ?? -1) >= least && (count ?? -1) <= most, `there are ${count}, between ${least} and ${most}`);
  await unmount();
  t.match(
    await checkFileSystem(kind, device),
    { status: 0 },
    'the file system is clean after the replay of its journal',
  );
  await runOk('losetup', ['--detach', device]);
  fs.rmSync(directory, { recursive: true });
}

t.test('SQLite on ext4 is right at every LSN of the run', { skip: missing }, async (t) => {
  await sqliteRun(t, { kind: 'ext4', size: '96M', journalMode: 'WAL', points: 11 });
});

t.test(
  'SQLite on XFS is right at every LSN of the run',
  {
    skip: missing || skipUnless({ commands: ['mkfs.xfs', 'xfs_repair'] }),
  },
  async (t) => {
    await sqliteRun(t, { kind: 'xfs', size: '320M', journalMode: 'DELETE', points: 6 });
  },
);
