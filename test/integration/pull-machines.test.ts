// Machines that are assigned: names that are taken, disks that change, what only the source may do, and
// the end of it.
import path from 'node:path';
import t from 'tap';
import { openAssignmentBook, signAssignment } from '../../core/identity/assignment.ts';
import { RecordKind } from '../../core/record/record.ts';
import { MiB } from '../../core/units.ts';
import { until } from '../support/homeward.ts';
import { PullSite } from '../support/pull-site.ts';

t.test('a name that a machine with direct ingest has is refused and shown; the others go on', async (t) => {
  const site = await PullSite.start(t);
  await site.startTarget();
  const listen = `unix:${path.join(site.data, 'web.sock')}`;
  const disks = [{ name: 'root', sizeBytes: MiB }];
  const request = { machine: 'web', disks, listen, seeding: false };
  await site.client.openIngest(request);
  await site.stop();
  site.assign('web');
  const other = site.assign('other');
  other.syncBegin();
  await site.startTarget();
  await site.settled(other);
  const { machines } = await site.client.status();
  t.match(
    machines.filter(({ name }) => name === 'web').map(({ path: way, state }) => [way, state]),
    [
      ['ingest', 'ok'],
      ['chain', 'failed'],
    ],
  );
  t.match(
    machines.find(({ name, path: way }) => name === 'web' && way === 'chain')?.detail,
    /direct ingest .*conflict/,
  );
});

t.test('the id of a machine with direct ingest is no way to write to it', async (t) => {
  const site = await PullSite.start(t);
  await site.startTarget();
  const listen = `unix:${path.join(site.data, 'web.sock')}`;
  const disks = [{ name: 'root', sizeBytes: 4 * MiB }];
  await site.client.openIngest({ machine: 'web', disks, listen, seeding: false });
  const [web] = (await site.client.status()).machines;
  await site.stop();
  const thief = site.assign('thief', undefined, { machine: web?.id ?? '' });
  thief.syncBegin();
  const other = site.assign('other');
  other.syncBegin();
  await site.startTarget();
  await site.settled(other);
  const found = (await site.client.status()).machines.filter(({ id }) => id === web?.id);
  t.match(found, [{ name: 'web', path: 'ingest', headLsn: 0 }], 'it keeps its name, and nothing comes in');
});

t.test(
  'what is numbered at the source is not written here: ingest, seeded and tags are refused',
  async (t) => {
    const site = await PullSite.start(t);
    const web = site.assign('web');
    web.syncBegin();
    await site.startTarget();
    await site.settled(web);
    const { client } = site;
    const disks = [{ name: 'root', sizeBytes: 4 * MiB }];
    const listen = `unix:${path.join(site.data, 'web.sock')}`;
    await t.rejects(client.openIngest({ machine: 'web', disks, listen, seeding: false }), {
      code: 'conflict',
    });
    await t.rejects(client.seeded('web'), { code: 'conflict' });
    await t.rejects(client.closeIngest('web'), { code: 'conflict' });
    await t.rejects(client.tag('web', 'now'), { code: 'conflict', hint: /made at the source/ });
  },
);

t.test(
  'a disk that grows and a disk that is new are taken over, and a moment has the disks of its time',
  async (t) => {
    const site = await PullSite.start(t);
    const web = site.assign('web', [{ name: 'root', size: MiB }]);
    web.syncBegin();
    web.write(0, 0, Buffer.alloc(512, 'a'));
    const before = web.syncEnd();
    const disks = [
      { name: 'root', size: 2 * MiB },
      { name: 'data', size: MiB },
    ];
    web.syncBegin({ reason: 'disks changed', disks });
    web.write(0, MiB, Buffer.alloc(512, 'b'));
    web.write(1, 0, Buffer.alloc(512, 'c'));
    web.syncEnd();
    await site.startTarget();
    await site.settled(web);
    for (const round of ['at once', 'after a restart']) {
      t.match((await site.status('web')).disks, disks, round);
      t.equal((await site.recovered('web', `lsn:${before}`)).length, MiB, round);
      const root = await site.recovered('web', 'latest');
      t.equal(root.length, 2 * MiB, round);
      t.ok(root.subarray(MiB, MiB + 512).equals(Buffer.alloc(512, 'b')), round);
      t.equal((await site.recovered('web', 'latest', 1)).subarray(0, 3).toString(), 'ccc', round);
      await site.restartTarget();
    }
  },
);

t.test('records beyond the disks, and other disks than before, are refused and shown', async (t) => {
  const site = await PullSite.start(t);
  const web = site.assign('web', [{ name: 'root', size: MiB }]);
  web.syncBegin();
  web.write(0, MiB - 100, Buffer.alloc(200, 'x'));
  const db = site.assign('db', [{ name: 'root', size: MiB }]);
  db.syncBegin({ disks: [{ name: 'other', size: MiB }] });
  await site.startTarget();
  const refused = (): boolean =>
    ['web', 'db'].every((name) =>
      site.log.some((line) => line.includes(`machine=${name} code=machine-differs`)),
    );
  await until('both to be refused', refused);
  t.ok((await site.status('web')).durableLsn < web.lsn);
});

t.test('when protection ends nothing is pulled any more, and the machine can be recovered', async (t) => {
  const site = await PullSite.start(t);
  const web = site.assign('web');
  web.syncBegin();
  web.write(0, 0, Buffer.alloc(512, 'a'));
  web.syncEnd();
  await site.startTarget();
  await site.settled(web);
  await site.stop();
  const book = openAssignmentBook(path.join(site.data, 'assignments.json'), site.host.authority);
  book.accept(signAssignment(site.identities.authority, { ...web.assignment, epoch: 2, ended: true }));
  await site.startTarget();
  const status = await site.status('web');
  t.match(status, { state: 'idle', detail: /protection has ended/ });
  t.equal((await site.recovered('web', 'latest')).subarray(0, 3).toString(), 'aaa');
  t.equal(site.streamOf(web), null);
});

t.test(
  'what comes as lost is unknown, in redo and in the replica, until a sync has brought it',
  async (t) => {
    const site = await PullSite.start(t);
    const web = site.assign('web', undefined, { windowMs: 1000 });
    web.syncBegin();
    web.write(0, 0, Buffer.alloc(512, 'a'));
    web.syncEnd();
    // Where it wrote is not known: the whole machine is.
    web.add({ kind: RecordKind.unknown }, null);
    web.write(0, 4096, Buffer.alloc(4096, 'b'));
    await site.startTarget();
    await site.settled(web);
    await t.rejects(site.recovered('web', 'latest'), { code: 'damaged' });
    await site.restartTarget();
    await t.rejects(site.recovered('web', 'latest'), { code: 'damaged' });
    t.match(await site.status('web'), { state: 'damaged', detail: /record 4 came as lost/ });

    for (let count = 0; count < 3; count++) web.write(0, 4096, Buffer.alloc(40_000, 'c'));
    await site.settled(web);
    const applied = async (lsn: number): Promise<boolean> => (await site.status('web')).appliedLsn >= lsn;
    await until('the lost record to be applied', () => applied(4));
    await t.rejects(
      site.recovered('web', 'latest'),
      { code: 'damaged' },
      'what the replica has is not shown',
    );
    await site.restartTarget();
    await t.rejects(site.recovered('web', 'latest'), { code: 'damaged' });

    web.syncBegin({ reason: 'lost' });
    web.zero(0, 0, 4 * MiB);
    web.write(0, 512, Buffer.alloc(512, 'd'));
    const end = web.syncEnd();
    await site.settled(web);
    const expected = Buffer.alloc(4 * MiB);
    expected.fill('d', 512, 1024);
    t.ok((await site.recovered('web', 'latest')).equals(expected));
    for (let count = 0; count < 3; count++) web.write(0, 8192, Buffer.alloc(40_000));
    await site.settled(web);
    await until('the sync to be applied', () => applied(end));
    t.ok((await site.recovered('web', 'latest')).equals(expected), 'also out of the replica');
  },
);
