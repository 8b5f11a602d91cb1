// A small window: apply and prune go on under a writer, views and kill -9, and each point left is exact.
import fs from 'node:fs';
import t, { type Test } from 'tap';
import { MiB } from '../../core/units.ts';
import { MasterTarget, until } from '../support/homeward.ts';
import { Oracle } from '../support/oracle.ts';
import { OracleWriter, readExport } from '../support/oracle-writer.ts';
import { chooseSeed, seededRandom, type Random } from '../support/random.ts';

const size = 16 * MiB;
/** The cursor trails by the whole window, and nothing below that is kept: no undo. */
const trailing = { ReplicaLag: '1h', KeepRules: 'none' };
const smallWindow = {
  SegmentBytes: '1M',
  WindowHours: '1h',
  WindowMaxBytes: '3M',
  SyncIntervalMs: '20ms',
  ...trailing,
};

t.setTimeout(240_000);

interface Box {
  target: MasterTarget;
  socket: string;
  oracle: Oracle;
  random: Random;
}

async function startBox(t: Test, settings: Record<string, string>): Promise<Box> {
  const random = seededRandom(chooseSeed(t));
  const target = await MasterTarget.start(t, settings);
  const socket = await target.ingest('box', [`disk=${size}`]);
  return { target, socket, random, oracle: new Oracle(0, size) };
}

/** Often flushed, so that the writer does not run away from apply by hundreds of segments. */
const connect = ({ socket, oracle, random }: Box): Promise<OracleWriter> =>
  OracleWriter.connect(socket, 'disk', { oracle, random, window: 8, flush: 0.3 });

/** Views of the oldest, the newest and some points in between, while apply goes on; and the head as it is. */
async function checkPoints(t: Test, { target, oracle, random, socket }: Box): Promise<void> {
  const { oldestLsn, headLsn } = await target.status('box');
  const oldest = oldestLsn ?? 0;
  const between = Array.from({ length: 2 }, () => oldest + random.below(headLsn - oldest + 1));
  for (const lsn of [oldest, ...between, headLsn]) {
    const view = await target.view('box', `lsn:${lsn}`).catch(async (error: unknown) => {
      const gone = (await target.status('box')).oldestLsn ?? 0;
      if (lsn < gone) t.match(error, { code: 'outside-window' }, `lsn:${lsn} has left the window meanwhile`);
      else throw error;
      return null;
    });
    if (view === null) continue;
    t.same(oracle.compare(await readExport(view.socket, 'disk', size), lsn), [], `lsn:${lsn} is exact`);
    await target.closeView(view.id);
  }
  t.same(oracle.compare(await readExport(socket, 'disk', size), headLsn), [], 'the ingest reads its head');
}

t.test(
  'the replica follows and old redo goes while writing goes on; the window is what is left',
  async (t) => {
    const box = await startBox(t, smallWindow);
    const { target, oracle } = box;
    const writer = await connect(box);
    await writer.write(() => target.logged('redo-pruned') >= 4);
    await checkPoints(t, box);
    await until(
      'the window to be as small as it may be',
      async () => (await target.status('box')).redoBytes <= 4 * MiB,
    );
    await checkPoints(t, box);
    const { oldestLsn, appliedLsn, headLsn } = await target.status('box');
    t.ok(appliedLsn > 0 && oldestLsn === appliedLsn, 'the oldest point is the cursor');

    const refused = await target.refused(
      'view',
      'box',
      '--at',
      `lsn:${appliedLsn - 1}`,
      '--listen',
      'unix:/tmp/none.sock',
    );
    t.match(refused, { status: 4, code: 'outside-window' });
    t.match(refused.message, `lsn:${oldestLsn} (`, 'the window is named from its beginning');
    t.match(refused.message, `to lsn:${headLsn} (`, 'to its end');

    const directory = target.inDirectory('recovered');
    await target.ask('recover', 'box', '--at', `lsn:${appliedLsn}`, '--to', `raw:${directory}`);
    t.same(
      oracle.compare(fs.readFileSync(`${directory}/disk.raw`), appliedLsn),
      [],
      'the oldest point can be recovered',
    );
  },
);

t.test(
  'kill -9 in the middle of apply loses nothing, and the step is finished after the start',
  async (t) => {
    const box = await startBox(t, smallWindow);
    const { target, oracle, random } = box;
    for (let round = 1; round <= 3; round += 1) {
      const writer = await connect(box);
      // After a segment is pruned the next step begins at once: the writer is far ahead of a window of 3 MiB.
      const killAt = target.logged('redo-pruned') + 1 + random.below(4);
      const kills: Promise<void>[] = [];
      await writer.write(() => {
        if (target.logged('redo-pruned') >= killAt) kills[0] ??= target.kill();
        return false;
      });
      await Promise.all(kills);
      await target.restart();
      const { headLsn } = await target.status('box');
      t.ok(headLsn >= Math.max(...writer.completed), 'every answered write is there');
      oracle.forgetAfter(headLsn);
      await checkPoints(t, box);
    }
  },
);

t.test('an open view holds back apply and stays exact; closed, it lets go', async (t) => {
  const box = await startBox(t, smallWindow);
  const { target, oracle } = box;
  const writer = await connect(box);
  await writer.write(() => target.logged('redo-pruned') >= 2);
  const view = await target.view('box', 'latest');
  const before = await readExport(view.socket, 'disk', size);
  t.same(oracle.compare(before, view.lsn), []);
  const bytes = (await target.status('box')).redoBytes;
  await writer.write(() => oracle.changes.length > view.lsn + 800);
  // Two rounds of the janitor at least: it looks once a second.
  const rounds = performance.now() + 2500;
  await until('the janitor to look again', () => performance.now() > rounds);
  const held = await target.status('box');
  t.ok((held.oldestLsn ?? Infinity) <= view.lsn, `the window still holds lsn:${view.lsn}`);
  t.ok(held.redoBytes > bytes + 5 * MiB, 'so redo grows beyond its bound');
  t.ok((await readExport(view.socket, 'disk', size)).equals(before), 'the view is what it was');
  await target.closeView(view.id);
  await until('apply to go past the view', async () => (await target.status('box')).appliedLsn > view.lsn);
  await until('the redo to shrink', async () => (await target.status('box')).redoBytes <= 4 * MiB);
  await checkPoints(t, box);
});

t.test('redo older than the window goes by time, and the last point stays', async (t) => {
  const box = await startBox(t, { SegmentBytes: '1M', WindowHours: '1s', ...trailing });
  const { target } = box;
  const writer = await connect(box);
  await writer.writeMore(400);
  await until('the window to move', async () => ((await target.status('box')).oldestLsn ?? 0) > 0);
  await writer.writeMore(50);
  await checkPoints(t, box);
  const time = new Date(Date.now() - 3600_000).toISOString();
  const refused = await target.refused('view', 'box', '--at', time, '--listen', 'unix:/tmp/none.sock');
  t.match(refused, {
    status: 4,
    code: 'outside-window',
    message: /outside the window, which reaches from lsn:\d+ \(/,
  });
});
