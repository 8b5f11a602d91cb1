// What is derived may go at any moment, and a machine's directory may be carried to another volume: no point
// is lost.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { MasterTarget, until } from '../support/homeward.ts';
import {
  diskName,
  hastySettings,
  historyDiskBytes,
  HistorySite,
  killWhen,
  machineName,
  verified,
  type View,
} from '../support/history-site.ts';
import { readExport } from '../support/oracle-writer.ts';

t.setTimeout(240_000);

const removeDerived = (site: HistorySite): void =>
  // The daemon may make a file there meanwhile.
  fs.rmSync(path.join(site.directory, 'derived'), { recursive: true, force: true, maxRetries: 10 });

t.test('derived goes under a running daemon with views open, and before a start', async (t) => {
  const site = await HistorySite.start(t, { ...hastySettings, KeepRules: 'tags=4w' });
  const { target } = site;
  await site.write(150);
  await site.tag('first');
  const views: View[] = [await site.openSome(), await site.openSome()];
  for (let round = 1; round <= 2; round += 1) {
    await site.writeSteps(1);
    removeDerived(site);
    for (const view of views) await site.check(view, 'derived has just gone');
    views.push(await site.openSome());
    await site.check(views.at(-1)!, 'opened without derived');
    await site.write(50);
    removeDerived(site);
    await site.checkAll();
  }
  for (const { id } of views.splice(0, 2)) await target.closeView(id);
  t.match(await verified(target), { ok: true, damaged: [] });
  for (const how of ['kill', 'stop'] as const) {
    await site.write(80);
    if (how === 'stop') t.equal(await target.stop(), 0);
    else await target.kill();
    removeDerived(site);
    await site.comeBack();
    for (const view of views) await site.check(view, `after ${how} without derived`);
    await site.checkAt('tag:first');
    await site.checkAll();
  }
  for (const { id } of views) await target.closeView(id);
  await until('what is derived to be there again', () =>
    fs.readdirSync(path.join(site.directory, 'derived')).some((name) => name.endsWith('.table')),
  );
  t.match(await verified(target), { ok: true, damaged: [] });
  t.notMatch(target.log, /level=error/);
});

t.test('a directory copied to another volume is the same machine there', async (t) => {
  const site = await HistorySite.start(t, { ...hastySettings, KeepRules: 'tags=4w' });
  await site.write(150);
  await site.tag('first');
  await site.writeSteps(2);
  await until('redo to go', async () => {
    await site.write(20);
    return site.target.logged('redo-pruned') > 0;
  });
  // In the midst of a step: where it is started it is finished.
  const stop = killWhen(site, (room, name) => room === 'undo' && name.endsWith('.seg'));
  await site.writeUntilKilled(); // which starts it again
  stop();
  await site.write(100);
  await site.target.kill();
  const { directory } = site;
  const [kept = 0] = site.tagLsns;

  // Its window does not move meanwhile.
  const other = await MasterTarget.start(t, { ...hastySettings, WindowHours: '1h', KeepRules: 'tags=4w' });
  t.equal(await other.stop(), 0);
  execFileSync('cp', ['-a', directory, other.inData('retention')]);
  await other.restart();
  const [broken] = (await other.client.status()).machines;
  t.match(
    broken,
    { name: machineName, state: 'failed', detail: /target-missing/ },
    'its replicas are missed',
  );
  await other.stop();
  const replicas = path.join(site.target.inData('replicas'), path.basename(directory));
  execFileSync('cp', ['-a', replicas, other.inData('replicas')]);
  await other.restart();

  const { headLsn, oldestLsn, state } = await other.status(machineName);
  t.match(state, /ok|idle/);
  const dense = (await other.client.points(machineName, { rates: false })).window?.from.lsn ?? 0;
  t.equal(oldestLsn, kept);
  t.equal(site.changesAt(headLsn), site.oracle.changes.length, 'every write is there');
  for (const lsn of [kept, dense, dense + site.random.below(headLsn - dense), headLsn]) {
    const view = await other.view(machineName, `lsn:${lsn}`);
    const image = await readExport(view.socket, diskName, historyDiskBytes);
    t.same(site.oracle.compare(image, site.changesAt(lsn)), [], `lsn:${lsn} is exact there`);
    await other.closeView(view.id);
  }
  await other.ingest(machineName, [`${diskName}=${historyDiskBytes}`]);
  t.match(await verified(other), { ok: true, damaged: [] });
  t.notMatch(other.log.replaceAll(/^.*target-missing.*$/gm, ''), /level=error/);
  await site.target.restart();
  await site.checkAll(1);
});
