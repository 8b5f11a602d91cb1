// PostgreSQL on a protected ext4 through the whole chain: whatever is killed meanwhile, images of any
// moment hold what was committed by then; and tags that a script makes application-consistent.
import fs from 'node:fs';
import t, { type Test } from 'tap';
import { MiB } from '../../core/units.ts';
import { reached } from '../support/chain-checks.ts';
import { ChainSite, type Source } from '../support/chain-site.ts';
import { nbdUri, run, runOk, until } from '../support/homeward.ts';
import { loopDeviceMissing } from '../support/loop-device.ts';
import {
  attachFile,
  attachNbd,
  checkFileSystem,
  makeFileSystem,
  mount,
  mountCommands,
} from '../support/mounted-disk.ts';
import { skipUnless } from '../support/needs.ts';
import {
  initDatabase,
  postgresMissing,
  query,
  startServer,
  type RunningServer,
} from '../support/postgres.ts';
import { chooseSeed, seededRandom, type Random } from '../support/random.ts';
import { SqlSession } from '../support/sql-session.ts';

t.setTimeout(400_000);

/** A tag taken under load: the transactions that had been committed before, and begun until it was there. */
interface Mark {
  lsn: number;
  least: number;
  most: number;
}

interface Shop {
  site: ChainSite;
  source: Source;
  random: Random;
  marks: Mark[];
  committed: number;
}

const disk = (shop: Pick<Shop, 'site'>): string => shop.site.at('disk');
const data = (shop: Pick<Shop, 'site'>): string => `${disk(shop)}/data`;

t.test(
  'PostgreSQL goes on over kill -9 of its disk, and comes back of any moment',
  { skip: postgresMissing },
  async (t) => {
    const random = seededRandom(chooseSeed(t));
    const site = await ChainSite.start(t);
    fs.chmodSync(site.directory, 0o711); // PostgreSQL has to get to its directory
    const source = await site.source('shop', [{ name: 'system', size: 256 * MiB }]);
    await site.protect('shop', '--consistency-interval', '24h');
    const shop: Shop = { site, source, random, marks: [], committed: 0 };
    const device = await attachNbd(t, site.directory, nbdUri(source.socket, 'system'));
    await makeFileSystem('ext4', device);
    await mount(t, 'ext4', device, disk(shop));
    await initDatabase(data(shop));
    const server = await startServer(t, data(shop));
    await query(data(shop), 'CREATE TABLE entry (id integer PRIMARY KEY, body text NOT NULL)');
    await query(data(shop), 'CREATE TABLE total (entries integer NOT NULL)');
    await query(data(shop), 'INSERT INTO total VALUES (0)');
    await reached(site.target, 'shop');
    await commitUnderLoad(t, shop, 60);

    await killUnderLoad(shop, server);
    await runOk('umount', ['--lazy', disk(shop)]);
    await source.process.start();
    const again = await attachNbd(t, site.directory, nbdUri(source.socket, 'system'));
    const unmount = await mount(t, 'ext4', again, disk(shop));
    const restarted = await startServer(t, data(shop));
    const count = Number(await query(data(shop), 'SELECT count(*) FROM entry'));
    t.ok(count === shop.committed || count === shop.committed + 1, `${count}: what was committed is there`);
    shop.committed = count;
    await reached(site.target, 'shop');
    await commitUnderLoad(t, shop, 60);
    await restarted.stop();
    await unmount();
    await reached(site.target, 'shop');
    await checkMoments(t, shop);
  },
);

/** Transactions one after the other, tags meanwhile; the RPO is looked at all the time. */
async function commitUnderLoad(t: Test, shop: Shop, count: number): Promise<void> {
  const { site } = shop;
  const session = startSession(shop);
  const last = shop.committed + count;
  const commit = async (): Promise<void> => {
    while (shop.committed < last) await commitOne(shop, session);
  };
  const rpos: number[] = [];
  const look = async (): Promise<void> => {
    while (shop.committed < last) {
      const { machines } = await site.target.status();
      rpos.push(machines[0]?.rpoSeconds ?? Infinity);
      const least = shop.committed;
      const { lsn } = await site.server.control.tag('shop', `at-${shop.marks.length}`);
      shop.marks.push({ lsn, least, most: shop.committed + 1 });
    }
  };
  await Promise.all([commit(), look()]);
  await session.close();
  t.ok(Math.max(...rpos) < 5, `${rpos.length} looks under load: an RPO of at most ${Math.max(...rpos)} s`);
}

const startSession = (shop: Shop): SqlSession =>
  SqlSession.start('psql', ['-h', data(shop), '-U', 'postgres', '-AtqX']);

async function commitOne(shop: Shop, session: SqlSession): Promise<void> {
  const n = shop.committed + 1;
  const body = `'x' || repeat('y', ${shop.random.below(20_000)})`;
  await session.ask(`BEGIN; INSERT INTO entry VALUES (${n}, ${body});
    UPDATE total SET entries = ${n}; COMMIT; SELECT ${n};`);
  shop.committed = n;
}

/** The disk goes away in the middle of a transaction, and the server with it. */
async function killUnderLoad(shop: Shop, server: RunningServer): Promise<void> {
  const session = startSession(shop);
  const enough = shop.committed + 20;
  const commit = async (): Promise<void> => {
    for (;;) await commitOne(shop, session);
  };
  const broken = commit().catch(() => undefined);
  await until('some transactions more', () => shop.committed >= enough);
  await shop.source.process.kill();
  await server.abandon();
  await broken;
}

/** Tags, LSNs between tags that no gap has, and the newest moment. */
async function checkMoments(t: Test, shop: Shop): Promise<void> {
  const { site, random, marks, committed } = shop;
  const { gaps } = await site.target.points('shop');
  t.equal(gaps.length, 1, 'one gap, since the source was killed');
  const inGap = (lsn: number): boolean => gaps.some(({ from, to }) => lsn >= from && lsn < (to ?? Infinity));
  const tag = random.below(marks.length);
  const mark = marks[tag];
  if (mark === undefined) return void t.fail('no tag was taken');
  await checkImage(t, site, `tag:at-${tag}`, mark);
  for (let checked = 0; checked < 2;) {
    const index = random.below(marks.length - 1);
    const [from, to] = [marks[index], marks[index + 1]];
    if (from === undefined || to === undefined) continue;
    const lsn = from.lsn + random.below(to.lsn - from.lsn);
    if (inGap(lsn)) continue;
    await checkImage(t, site, `lsn:${lsn}`, { lsn, least: from.least, most: to.most });
    checked += 1;
  }
  await checkImage(t, site, 'latest', { lsn: -1, least: committed, most: committed });
}

/** The file system needs its journal replayed and no more, and the database has what was committed, whole. */
async function checkImage(t: Test, site: ChainSite, at: string, { least, most }: Mark): Promise<void> {
  const directory = site.at(`at-${at.replace(':', '-')}`);
  await site.ask('recover', 'shop', '--at', at, '--to', `raw:${directory}`);
  const device = await attachFile(t, `${directory}/system.raw`);
  const unmount = await mount(t, 'ext4', device, `${directory}/disk`);
  const server = await startServer(t, `${directory}/disk/data`);
  const found = (
    await query(
      `${directory}/disk/data`,
      'SELECT count(*), coalesce(max(id), 0), (SELECT entries FROM total) FROM entry',
    )
  ).trim();
  const [count = -1, newest, total] = found.split('|').map(Number);
  t.ok(count === newest && count === total, `${at}: ${found}: whole, and none is missing in between`);
  t.ok(count >= least && count <= most, `${at}: there are ${count}, of ${least} to ${most}`);
  await query(`${directory}/disk/data`, 'SELECT sum(length(body)) FROM entry');
  await server.stop();
  await unmount();
  t.match(await checkFileSystem('ext4', device), { status: 0 }, `${at}: clean after the replay`);
  fs.rmSync(`${directory}/system.raw`);
}

const freezeMissing =
  skipUnless({
    root: true,
    full: true,
    commands: [...mountCommands, 'fsfreeze', 'dumpe2fs'],
    files: ['/dev/fuse'],
  }) ||
  (loopDeviceMissing() ?? false);

t.test(
  'a script makes tags application-consistent: no journal to replay',
  { skip: freezeMissing },
  async (t) => {
    const site = await ChainSite.start(t, { settings: { CustomScriptTime: '3s' } });
    const [script, mood, said] = [site.at('freeze.sh'), site.at('mood'), site.at('said')];
    fs.writeFileSync(mood, '');
    fs.writeFileSync(script, freezeScript({ at: site.at('disk'), mood, said }), { mode: 0o755 });
    const more = ['--custom-script', script, '--config', site.at('drscout.conf')];
    const source = await site.source('files', [{ name: 'system', size: 64 * MiB }], ...more);
    await site.protect('files', '--consistency-interval', '24h');
    const device = await attachNbd(t, site.directory, nbdUri(source.socket, 'system'));
    await makeFileSystem('ext4', device);
    const unmount = await mount(t, 'ext4', device, site.at('disk'));
    const steps = (): string[] => fs.readFileSync(said, 'utf8').trim().split('\n');
    const load = writeFiles(site.at('disk'));

    const tag = await site.ask<{ lsn: number }>('tag', 'files', '--name', 'at rest');
    t.match(tag, { consistency: 'application', name: 'at rest' });
    t.same(steps(), ['--pre', '--post']);
    await until('the files to be written on', load.goesOn);
    await checkAtRest(t, site, tag.lsn);

    fs.writeFileSync(mood, 'fail');
    await t.rejects(site.server.control.tag('files', 'fails'), {
      code: 'script-failed',
      message: /status 7/,
    });
    fs.writeFileSync(mood, 'hang');
    await t.rejects(site.server.control.tag('files', 'hangs'), {
      code: 'script-failed',
      message: /within 3 s/,
    });
    t.same(steps(), ['--pre', '--post', '--pre', '--post', '--pre', '--post'], 'the last step always runs');
    await until('the files to be written on', load.goesOn);

    await load.stop();
    const killed = site.server.control.tag('files', 'killed');
    killed.catch(() => undefined);
    await until('the first step', () => steps().length === 7);
    await source.process.kill();
    await source.process.start();
    await until('the last step, by the next start', () => steps().at(-1) === '--post');
    await runOk('umount', ['--lazy', site.at('disk')]).catch(() => unmount());
    fs.writeFileSync(mood, '');
    await reached(site.target, 'files');
    const { tags } = await site.points('files');
    t.match(tags, [{ name: 'at rest', consistency: 'application' }], 'what failed left no tag');
  },
);

/** What it does besides is written in the file `mood`. */
const freezeScript = ({ at, mood, said }: Record<'at' | 'mood' | 'said', string>): string => `#!/bin/sh
echo "$1" >> ${said}
if [ "$1" = --post ]; then fsfreeze -u ${at}; exit 0; fi
case "$(cat ${mood})" in
  fail) fsfreeze -f ${at}; exit 7 ;;
  hang) fsfreeze -f ${at}; sleep 100 ;;
esac
fsfreeze -f ${at}
`;

/** Small files, one after the other, by a process of its own: it stands still while the file system does. */
function writeFiles(at: string): { goesOn: () => boolean; stop: () => Promise<void> } {
  const loop = `n=0; while [ -e go ]; do n=$((n+1)); echo $n > file-$((n % 50)); echo $n > count; done`;
  fs.writeFileSync(`${at}/go`, '');
  const ended = run('sh', ['-c', loop], { cwd: at, timeoutMs: 120_000 });
  const count = (): string => fs.readFileSync(`${at}/count`, 'utf8');
  let before = '';
  return {
    goesOn: () => {
      const now = count();
      const moved = before !== '' && now !== before;
      before = moved ? '' : now;
      return moved;
    },
    stop: async () => {
      fs.rmSync(`${at}/go`, { force: true });
      await ended;
    },
  };
}

async function checkAtRest(t: Test, site: ChainSite, lsn: number): Promise<void> {
  const recovered = await site.ask<{ result: { lsn: number } }>(
    ...['recover', 'files', '--at', 'latest-app', '--to', `raw:${site.at('rest')}`],
  );
  t.equal(recovered.result.lsn, lsn, '`latest-app` is that tag');
  const image = site.at('rest', 'system.raw');
  const features = /Filesystem features:.*/.exec(await runOk('dumpe2fs', ['-h', image]))?.[0] ?? '';
  t.match(features, 'has_journal');
  t.notMatch(features, 'needs_recovery', 'the journal is empty');
  t.match(await checkFileSystem('ext4', image), { status: 0 }, 'and it is clean as it lies');
}
