// PostgreSQL on a protected disk: images of any moment go through its crash recovery and hold what was
// committed.
import fs from 'node:fs';
import t, { type Test } from 'tap';
import { MasterTarget, nbdUri } from '../support/homeward.ts';
import { attachFile, attachNbd, checkFileSystem, makeFileSystem, mount } from '../support/mounted-disk.ts';
import { initDatabase, postgresMissing, query, startServer } from '../support/postgres.ts';
import { chooseSeed, seededRandom } from '../support/random.ts';
import { SqlSession } from '../support/sql-session.ts';

t.setTimeout(240_000);

t.test('PostgreSQL recovers at every LSN of the run', { skip: postgresMissing }, async (t) => {
  const random = seededRandom(chooseSeed(t));
  const target = await MasterTarget.start(t);
  fs.chmodSync(target.directory, 0o711); // PostgreSQL has to get to its directory
  const socket = await target.ingest('shop', ['system=512M']);
  const device = await attachNbd(t, target.directory, nbdUri(socket, 'system'));
  await makeFileSystem('ext4', device);
  const disk = target.inDirectory('disk');
  const unmount = await mount(t, 'ext4', device, disk);
  const data = `${disk}/data`;
  await initDatabase(data);
  const server = await startServer(t, data);
  await query(data, 'CREATE TABLE entry (id integer PRIMARY KEY, body text NOT NULL)');
  await query(data, 'CREATE TABLE total (entries integer NOT NULL)');
  await query(data, 'INSERT INTO total VALUES (0)');
  const session = SqlSession.start('psql', ['-h', data, '-U', 'postgres', '-AtqX']);
  const head = async (): Promise<number> => (await target.status('shop')).headLsn;
  const first = await head();
  const committed: number[] = [];
  for (let n = 1; n <= 120; n += 1) {
    const body = `'x' || repeat('y', ${random.below(4000)})`;
    await session.ask(
      `BEGIN; INSERT INTO entry VALUES (${n}, ${body});
        UPDATE total SET entries = ${n}; COMMIT; SELECT ${n};`,
    );
    committed.push(await head());
  }
  const last = await head();
  t.comment(`120 transactions over lsn:${first} to lsn:${last}`);
  await session.close();
  await server.stop();
  await unmount();
  for (const lsn of [last, first + random.below(last - first), first + random.below(last - first)]) {
    const least = committed.filter((mark) => mark <= lsn).length;
    await checkImage(t, target, lsn, least);
  }
});

/** At least `least` transactions are there, whole, and none is missing in between. */
async function checkImage(t: Test, target: MasterTarget, lsn: number, least: number): Promise<void> {
  const directory = target.inDirectory(`at-${lsn}`);
  await target.ask('recover', 'shop', '--at', `lsn:${lsn}`, '--to', `raw:${directory}`);
  const device = await attachFile(t, `${directory}/system.raw`);
  const unmount = await mount(t, 'ext4', device, `${directory}/disk`);
  const data = `${directory}/disk/data`;
  const server = await startServer(t, data);
  const found = (
    await query(data, 'SELECT count(*), coalesce(max(id), 0), (SELECT entries FROM total) FROM entry')
  ).trim();
  const [count = -1, newest, total] = found.split('|').map(Number);
  t.ok(
    count === newest && count === total,
    `lsn:${lsn}: ${found}: transactions are whole, none is missing in between`,
  );
  t.ok(count >= least && count <= least + 1, `there are ${count}; ${least} had been committed`);
  await query(data, 'SELECT sum(length(body)) FROM entry');
  await server.stop();
  await unmount();
  t.match(
    await checkFileSystem('ext4', device),
    { status: 0 },
    'the file system is clean after the replay of its journal',
  );
}
