// The retention volume full, growing and failing: history shortens to its floor before a writer is refused.
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { MiB } from '../../core/units.ts';
import { until } from '../support/homeward.ts';
import {
  hastySettings,
  historyDiskBytes,
  HistorySite,
  machineName,
  verified,
} from '../support/history-site.ts';
import { sectorBytes } from '../support/oracle.ts';
import { skipUnless } from '../support/needs.ts';
import { memoryInPlace, mountInPlace } from '../support/volumes.ts';

t.setTimeout(240_000);

const skip = skipUnless({
  root: true,
  commands: ['mkfs.ext4', 'mount'],
  files: ['/dev/loop-control'],
});
const small = {
  ...hastySettings,
  WindowHours: '1h',
  KeepRules: 'tags=4w',
  RetentionReserveBytes: '8M',
  FloorHours: '1s',
};

/** All but `left` bytes. */
function fillUp(file: string, left: number): void {
  const { bavail, bsize } = fs.statfsSync(path.dirname(file));
  fs.writeFileSync(file, Buffer.alloc(bavail * bsize - left, 1));
}

t.test('history shortens to its floor, and only then there is no space', { skip }, async (t) => {
  const site = await HistorySite.start(t, small);
  const { target } = site;
  await target.stop();
  const volume = memoryInPlace(t, target.inData('retention'), 64, () => target.kill());
  await site.comeBack();
  await site.write(50);
  await site.tag('old');
  // Several times what the volume holds; nobody is refused, since the floor is a second.
  for (let n = 0; n < 40; n += 1) {
    await site.write(120);
    await until('room for more', async () => {
      const { redoBytes, undoBytes } = await site.status();
      return redoBytes + undoBytes < 32 * MiB;
    });
  }
  t.ok(target.logged('redo-pruned') > 0, 'redo has gone');
  t.ok(((await site.status()).oldestLsn ?? 0) > 0, 'history is shorter');
  await site.checkAll();

  // Now all of it is within the floor.
  await target.ask('retention', machineName, '--floor', '1h');
  const taken = await site.writeUntilFull();
  t.comment(`${taken} changes more, then there was no space`);
  t.match(await site.status(), { state: 'no-space', detail: /8 MiB are reserved for housekeeping/ });
  await site.tag('full');
  await site.checkAll();
  t.equal(await target.stop(), 0, 'it stops well');
  await site.comeBack();
  await site.checkAll(1);

  volume.grow(128);
  await until('the room to be noticed', async () => (await site.status()).state === 'ok');
  await site.write(100);
  await site.tag('grown');
  await site.checkAll();
  t.match(await verified(target), { ok: true, damaged: [] });
  t.notMatch(target.log, /level=error event=(?!append-failed|history-short)/);
});

t.test('behind a locked point history is given up as well, by merging over it', { skip }, async (t) => {
  const site = await HistorySite.start(t, { ...small, RetentionReserveBytes: '32M' });
  const { target } = site;
  await target.stop();
  memoryInPlace(t, target.inData('retention'), 128, () => target.kill());
  await site.comeBack();
  await site.write(60);
  const locked = await site.tag('locked');
  await target.ask('points', 'lock', machineName, '--at', 'tag:locked', '--until', '30d');
  for (let n = 0; n < 25; n += 1) {
    await site.write(120);
    await site.tag(`t${n}`);
  }
  for (let n = 0; n < 3; n += 1) {
    // It may keep pace.
    await site.writeHard(4000);
    await until('there to be room', async () => (await site.status()).state === 'ok');
    await site.checkAt('tag:locked');
  }
  await site.checkAll();
  await site.checkAt('tag:locked');
  const { kept } = await site.points();
  t.ok(kept.some(({ lsn }) => lsn === locked));
  const givenUp = [...target.log.matchAll(/event=point-given-up .*lsn=(\d+)/g)].map(([, lsn]) => Number(lsn));
  t.ok(givenUp.length > 0, `${givenUp.length} were given up`);
  t.same(givenUp, [...new Set(givenUp)], 'each is told once');
  t.notOk(
    kept.some(({ lsn }) => givenUp.includes(lsn)),
    'and has gone',
  );
  t.match(await verified(target), { ok: true, damaged: [] });
});

t.test('a cursor that trails by the whole window goes to the floor as well', { skip }, async (t) => {
  const site = await HistorySite.start(t, {
    ...small,
    KeepRules: 'none',
    ReplicaLag: '1h',
    FloorHours: '1h',
  });
  const { target } = site;
  await target.stop();
  memoryInPlace(t, target.inData('retention'), 32, () => target.kill());
  await site.comeBack();
  await site.writeUntilFull();
  await target.ask('retention', machineName, '--floor', '1s');
  await until('there to be room', async () => (await site.status()).state === 'ok');
  await site.write(20);
  await site.checkAll();
});

t.test(
  'without room for undo steps are smaller; without any, history before the step goes',
  { skip },
  async (t) => {
    const settings = { ...small, RetentionReserveBytes: '4M', ReplicaLag: '10m', FloorHours: '1h' };
    const site = await HistorySite.start(t, { ...settings, KeepRules: 'none' });
    const { target, oracle } = site;
    const ask = (...args: string[]): Promise<unknown> => target.ask('retention', machineName, ...args);
    await target.stop();
    memoryInPlace(t, target.inData('retention'), 32, () => target.kill());
    await site.comeBack();
    await site.writeUntilFull();
    // All of it is to be applied now, and its undo is larger than what is left.
    await ask('--floor', '1s');
    const allApplied = async (): Promise<boolean> => {
      const { appliedLsn, durableLsn } = await site.status();
      return appliedLsn === durableLsn;
    };
    await until('all of it to be applied', allApplied);
    await site.write(20);
    await site.checkAll();

    // One record whose undo is the whole disk.
    await ask('--floor', '1h');
    await site.applyAll();
    const writer = await site.writer();
    // Nothing but the reserve is left, which is half of that.
    const ballast = target.inData('retention', 'ballast');
    fillUp(ballast, 4 * MiB);
    await writer.change(oracle.add('discard', 0, historyDiskBytes / sectorBytes));
    await writer.flush();
    await ask('--floor', '1s');
    await until('it to be applied', allApplied);
    t.ok(target.logged('history-shortened') > 0, 'it is told');
    await site.checkAll();
    // What Homeward held has gone; others leave nothing for new writes.
    fs.rmSync(ballast);
    await until('there to be room', async () => (await site.status()).state === 'ok');
    await site.write(50);
    await site.applyAll();
    await site.checkAll();
    t.match(await verified(target), { ok: true, damaged: [] });
  },
);

t.test('a volume without inodes is full as well, and says of what', { skip }, async (t) => {
  const site = await HistorySite.start(t, { ...small, FloorHours: '1h' });
  const { target } = site;
  await target.stop();
  const retention = target.inData('retention');
  const volume = memoryInPlace(t, retention, 128, () => target.kill());
  await site.comeBack();
  await site.write(60);
  const { files, ffree } = fs.statfsSync(retention);
  volume.limitInodes(files - ffree);
  await site.writeUntilFull();
  t.match(await site.status(), { state: 'no-space', detail: /MiB free.*, and no inode\)/ });
  await site.checkAll();
  await target.kill();
  await site.comeBack();
  await site.checkAll();
  volume.limitInodes(10_000);
  await until('the room to be noticed', async () => (await site.status()).state === 'ok');
  await site.write(60);
  await site.checkAll();
  t.match(await verified(target), { ok: true, damaged: [] });
});

t.test('a retention volume that fails gives back what it holds, and goes on mended', { skip }, async (t) => {
  const site = await HistorySite.start(t, small);
  const { target } = site;
  await target.stop();
  const volume = mountInPlace(t, target.inData('retention'), 64, () => target.kill());
  await site.comeBack();
  await site.write(60);
  await site.tag('kept');
  await site.write(60);
  await site.applyAll();
  const view = await target.view(machineName, 'tag:kept');
  volume.fail();
  await t.rejects(site.write(50), /errno 5|closed/, 'writers are refused');
  await until('it to say so', async () => (await site.status()).state === 'failed');
  await site.check(view, 'it can still be read');
  await target.kill();
  const { length } = site.oracle.changes;
  volume.unmount();
  volume.mount();
  site.wentBackTo(length);
  await site.comeBack();
  await site.check(view, 'mended');
  await site.write(50);
  await site.applyAll();
  await site.checkAll();
  t.match(await verified(target), { ok: true, damaged: [] });
});
