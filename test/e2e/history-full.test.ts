// The retention volume full, growing and failing: history shortens to its floor before a writer is refused.
import t from 'tap';
import { MiB } from '../../core/units.ts';
import { until } from '../support/homeward.ts';
import { hastySettings, HistorySite, machineName, verified } from '../support/history-site.ts';
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
