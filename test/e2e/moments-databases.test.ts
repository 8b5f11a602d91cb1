// SQLite and PostgreSQL on ext4: at any moment of the window and at kept points the database recovers, is
// sound, and has every transaction that was acknowledged by then.
import fs from 'node:fs';
import t, { type Test } from 'tap';
import { CommitLoad, commitSchema, commitsThere } from '../support/commit-load.ts';
import { runOk } from '../support/homeward.ts';
import { loopDeviceMissing } from '../support/loop-device.ts';
import { momentCount, MomentSite, type Moment } from '../support/moments.ts';
import { checkFileSystem, makeFileSystem, mount, mountCommands } from '../support/mounted-disk.ts';
import { skipUnless } from '../support/needs.ts';
import { initDatabase, postgresMissing, query, startServer } from '../support/postgres.ts';
import { chooseSeed, seededRandom } from '../support/random.ts';
import { SqlSession } from '../support/sql-session.ts';

const moments = momentCount(8);
t.setTimeout(240_000 + moments * 40_000);

const sqliteMissing =
  skipUnless({ root: true, full: true, commands: [...mountCommands, 'sqlite3'], files: ['/dev/fuse'] }) ||
  (loopDeviceMissing() ?? false);

function checkCommits(t: Test, load: CommitLoad, lsn: number, found: string): void {
  const [newest = -1, agree] = found.trim().split(' ').map(Number);
  const [least, most] = load.expectedAt(lsn);
  t.equal(agree, 1, 'its transactions are whole, and none is missing in between');
  t.ok(newest >= least && newest <= most, `lsn:${lsn}: there are ${newest}, between ${least} and ${most}`);
}

/** The server that the image is of still runs on this host: on another its process would not be found. */
function forgetOtherServer(data: string): void {
  for (const file of ['postmaster.pid', '.s.PGSQL.5432.lock', '.s.PGSQL.5432'])
    fs.rmSync(`${data}/${file}`, { force: true });
}

/** Mounted, which replays the journal; looked at; and clean after that. */
async function onImage(t: Test, moment: Moment, look: (disk: string) => Promise<void>): Promise<void> {
  const disk = `${moment.directory}/disk`;
  const unmount = await mount(t, 'ext4', moment.device, disk);
  await look(disk);
  await unmount();
  const checked = await checkFileSystem('ext4', moment.device);
  t.match(checked, { status: 0 }, 'the file system is clean after the replay of its journal');
}

t.test('SQLite has every acknowledged transaction at random moments', { skip: sqliteMissing }, async (t) => {
  const random = seededRandom(chooseSeed(t));
  const site = await MomentSite.start(t, { size: '96M', window: '40M' });
  await makeFileSystem('ext4', site.device);
  const disk = site.target.inDirectory('disk');
  await mount(t, 'ext4', site.device, disk);
  const session = SqlSession.start('sqlite3', ['-bail', `${disk}/shop.db`]);
  t.teardown(() => session.close());
  await session.ask('PRAGMA journal_mode = WAL;');
  await session.ask(`PRAGMA synchronous = EXTRA; ${commitSchema} SELECT 'made';`);
  const { head } = site;
  const first = await head();
  const upkeep = ['PRAGMA wal_checkpoint(TRUNCATE);', "VACUUM; SELECT 'vacuumed';"];
  const load = new CommitLoad({ session, random, head, upkeep });
  await site.look(t, {
    random,
    first,
    moments,
    load,
    operationsPerMoment: 50,
    writable: true,
    async check(t, moment) {
      await onImage(t, moment, async (disk) => {
        const database = `${disk}/shop.db`;
        const verdict = await runOk('sqlite3', [database, 'PRAGMA integrity_check']);
        t.equal(verdict.trim(), 'ok', 'the database is sound');
        checkCommits(t, load, moment.lsn, await runOk('sqlite3', [database, commitsThere]));
      });
    },
  });
});

t.test(
  'PostgreSQL has every acknowledged transaction at random moments',
  { skip: postgresMissing },
  async (t) => {
    const random = seededRandom(chooseSeed(t));
    const site = await MomentSite.start(t, { size: '512M', window: '80M' });
    await makeFileSystem('ext4', site.device);
    const disk = site.target.inDirectory('disk');
    await mount(t, 'ext4', site.device, disk);
    const data = `${disk}/data`;
    await initDatabase(data);
    await startServer(t, data);
    await query(data, commitSchema);
    const session = SqlSession.start('psql', ['-h', data, '-U', 'postgres', '-AtqX']);
    t.teardown(() => session.close());
    const { head } = site;
    const first = await head();
    const upkeep = ["CHECKPOINT; SELECT 'checkpoint';", "VACUUM entry; VACUUM total; SELECT 'vacuumed';"];
    const load = new CommitLoad({ session, random, head, upkeep });
    await site.look(t, {
      random,
      first,
      moments,
      load,
      operationsPerMoment: 60,
      writable: true,
      async check(t, moment) {
        await onImage(t, moment, async (disk) => {
          forgetOtherServer(`${disk}/data`);
          const server = await startServer(t, `${disk}/data`);
          checkCommits(t, load, moment.lsn, await query(`${disk}/data`, commitsThere));
          await server.stop();
        });
      },
    });
  },
);
