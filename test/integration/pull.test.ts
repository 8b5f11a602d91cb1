// The master target pulls: from an assignment to records in the journal, points, and acknowledgements.
import t from 'tap';
import { MiB } from '../../core/units.ts';
import { until } from '../support/homeward.ts';
import { PullSite } from '../support/pull-site.ts';
import { chooseSeed, seededRandom } from '../support/random.ts';

t.test(
  'an assigned machine is made, pulled, acknowledged, and has points when its first sync has ended',
  async (t) => {
    const site = await PullSite.start(t);
    const web = site.assign('web', [
      { name: 'root', size: 4 * MiB },
      { name: 'data', size: MiB },
    ]);
    await site.startTarget();
    await until('the stream to be open', () => site.streamOf(web) !== null);
    t.match(site.streamOf(web)?.hello, { role: 'target', durable: 0, applied: 0, generation: 0 });

    web.syncBegin();
    web.write(0, 4096, Buffer.alloc(8192, 'a'));
    await site.settled(web);
    site.sendHead(web, { sync: progress(1, 4) });
    await until('the first sync to show', async () => (await site.status('web')).state === 'initial-sync');
    const before = await site.status('web');
    t.match(before, { path: 'chain', oldestLsn: null, rpoSeconds: null, id: web.assignment.machine });
    t.match(before.detail, /25 %/);
    await t.rejects(site.client.planRecovery(recovery('web', 'latest')), { code: 'no-points' });

    const end = web.syncEnd();
    web.write(1, 0, Buffer.alloc(512, 'b'));
    web.tag('first');
    await site.settled(web);
    site.sendHead(web, { backlogBytes: 7, processServerBytes: 8 });
    await until('it to be ok', async () => (await site.status('web')).state === 'ok');
    const status = await site.status('web');
    t.match(status, { detail: null, oldestLsn: end, durableLsn: web.lsn, headLsn: web.lsn });
    t.match(status.backlog, { source: 7, processServer: 8 });
    t.match(status.source, { state: 'ok', connected: true });
    t.ok((status.rpoSeconds ?? 99) < 5, 'the RPO counts from the head');
    const points = await site.client.points('web');
    t.equal(points.window?.from.lsn, end);
    t.same(
      points.tags.map(({ name, lsn }) => [name, lsn]),
      [['first', web.lsn]],
    );
  },
);

t.test('after every break it goes on behind what is durable, and nothing is missing or double', async (t) => {
  const site = await PullSite.start(t);
  const random = seededRandom(chooseSeed(t));
  const web = site.assign('web');
  const disk = Buffer.alloc(4 * MiB);
  const write = (): void => {
    const data = random.bytes(1 + random.below(20_000));
    const offset = random.below(disk.length - data.length);
    data.copy(disk, offset);
    web.write(0, offset, data);
  };
  web.syncBegin();
  web.syncEnd();
  await site.startTarget();
  for (let round = 0; round < 6; round++) {
    for (let count = 0; count < 40; count++) write();
    if (random.chance(0.5)) await site.settled(web);
    site.streamOf(web)?.connection.destroy();
    if (round === 3) await site.restartTarget();
    await until('a new stream', () => site.streamOf(web) !== null);
    const { hello } = site.streamOf(web) ?? { hello: null };
    t.ok((hello?.durable ?? 0) <= web.lsn);
  }
  await site.settled(web);
  t.ok((await site.recovered('web', 'latest')).equals(disk));
});

t.test('a record that comes damaged is asked for again', async (t) => {
  const site = await PullSite.start(t);
  const web = site.assign('web');
  let damaged = 0;
  site.outgoing = (lsn, bytes) => {
    if (lsn !== 3 || damaged >= 2) return bytes;
    damaged += 1;
    const wrong = Buffer.from(bytes);
    wrong.writeUInt8((wrong.at(-1) ?? 0) ^ 1, wrong.length - 1);
    return wrong;
  };
  web.syncBegin();
  web.syncEnd();
  web.write(0, 0, Buffer.alloc(1000, 'x'));
  web.write(0, 1000, Buffer.alloc(1000, 'y'));
  await site.startTarget();
  await site.settled(web);
  t.equal(damaged, 2);
  const lines = site.log.filter((line) => line.includes('event=damaged-record-received'));
  t.equal(lines.length, 2);
  t.match(lines[0], /behind=2 times=1 .*record 3 does not fit its checksum/);
  t.match(
    site.streams.filter(({ ended }) => ended !== undefined && ended !== null).map(({ ended }) => ended?.code),
    ['damaged-record', 'damaged-record'],
    'and the process server hears of it',
  );
});

t.test('records of a lower generation are fenced off, and records out of order are refused', async (t) => {
  const site = await PullSite.start(t);
  const web = site.assign('web');
  web.syncBegin();
  web.syncBegin();
  web.syncEnd();
  await site.startTarget();
  await site.settled(web);
  web.generation = 1;
  web.write(0, 0, Buffer.alloc(10, 'x'));
  await until('the old source to be refused', () =>
    site.streams.some(({ ended }) => ended?.code === 'fenced'),
  );
  t.equal((await site.status('web')).durableLsn, 3);

  web.records.pop();
  web.generation = 2;
  web.lsn += 1;
  web.write(0, 0, Buffer.alloc(10, 'x'));
  web.records.splice(-1, 1);
  web.write(0, 0, Buffer.alloc(10, 'y'));
  await site.restartTarget();
  await until('the gap to be refused', () =>
    site.streams.some(({ ended }) => ended?.code === 'chain-broken'),
  );
  t.equal((await site.status('web')).durableLsn, 3);
});

const progress = (done: number, total: number) => ({
  ...({ reason: 'initial sync', phase: 'copying', doneBytes: done, totalBytes: total } as const),
  ...{ differentBytes: null, secondsLeft: null, ahead: null },
});

const recovery = (machine: string, at: string) => ({
  machine,
  at,
  target: { kind: 'raw' as const, directory: '/nowhere' },
  overwrite: [],
});
