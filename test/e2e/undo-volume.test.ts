// The volume of the replicas full, or failing: steps stop and say so, while writes and views go on; mended,
// they go on.
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { until } from '../support/homeward.ts';
import {
  diskName,
  hastySettings,
  historyDiskBytes,
  HistorySite,
  machineName,
  verified,
} from '../support/history-site.ts';
import { skipUnless } from '../support/needs.ts';
import { mountInPlace } from '../support/volumes.ts';

t.setTimeout(240_000);

const skip = skipUnless({ root: true, commands: ['mkfs.ext4', 'mount'], files: ['/dev/loop-control'] });
const longWindow = { ...hastySettings, WindowHours: '1h', KeepRules: 'tags=4w' };

/** To the last block: what the file system has promised and not placed yet may turn out to be less. */
function fillUp(file: string): void {
  const fd = fs.openSync(file, 'w');
  for (const bytes of [256 * 1024, 4096, 4096, 4096]) {
    t.throws(() => {
      for (;;) fs.writeSync(fd, Buffer.alloc(bytes, 1));
    }, /ENOSPC/);
    fs.fsyncSync(fd);
  }
  fs.closeSync(fd);
}

t.test('the replica volume is full, then fails: history goes on without it', { skip }, async (t) => {
  const site = await HistorySite.start(t, longWindow);
  const { target } = site;
  const replicas = target.inData('replicas');
  await target.stop();
  const volume = mountInPlace(t, replicas, 12, () => target.kill());
  // What was copied there has no holes any more, and nothing has been written yet.
  const replica = path.join(replicas, path.basename(site.directory), `${diskName}.raw`);
  fs.truncateSync(replica, 0);
  fs.truncateSync(replica, historyDiskBytes);
  await site.comeBack();
  await site.write(20);
  await site.tag('before');
  await site.applyAll();
  const view = await target.view(machineName, 'tag:before');

  const ballast = path.join(replicas, 'ballast');
  fillUp(ballast);
  await site.write(150);
  await until('a step to fail', async () => (await site.status()).state === 'failed');
  t.match(await site.status(), { state: 'failed', detail: /ENOSPC|no space/i });
  t.equal(target.logged('apply-failed'), 1, 'it is told once');
  await site.write(100);
  await site.check(view, 'the step that failed is open');
  await site.checkAll();
  await target.kill();
  await site.comeBack();
  await site.check(view, 'after kill -9 with that step open');
  fs.unlinkSync(ballast);
  const { durableLsn } = await site.status();
  await until('the step to be finished', async () => (await site.status()).appliedLsn >= durableLsn);
  await until('it to say so', async () => (await site.status()).state === 'ok');
  await site.checkAll();

  volume.fail();
  await site.write(150);
  await until('a step to fail', async () => (await site.status()).state === 'failed');
  await site.check(view, 'the replica cannot be written');
  await site.checkAll();
  await target.kill();
  volume.unmount();
  volume.mount();
  await site.comeBack();
  await site.applyAll();
  await site.check(view, 'mended');
  await site.checkAll();
  t.match(await verified(target), { ok: true, damaged: [] });
});
