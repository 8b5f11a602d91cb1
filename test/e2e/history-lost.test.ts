// Redo that is gone altogether: moments that are shown without it are there, all others say so.
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { hastySettings, HistorySite, machineName } from '../support/history-site.ts';

t.setTimeout(120_000);

t.test('ends of steps are shown although the redo below them is lost', async (t) => {
  const site = await HistorySite.start(t, { ...hastySettings, WindowHours: '1h', ReplicaLag: '1h' });
  const { target } = site;
  const ends: number[] = [];
  for (let step = 0; step < 3; step += 1) {
    await site.write(40);
    ends.push(await site.tag(`step-${step}`));
    await site.applyAll();
  }
  const [first = 0, second = 0, last = 0] = ends;
  await target.kill();
  const redo = path.join(site.directory, 'redo');
  const files = fs.readdirSync(redo).filter((name) => name.endsWith('.seg'));
  for (const name of files) fs.unlinkSync(path.join(redo, name));
  await site.comeBack();
  for (const lsn of ends) await site.checkAt(`lsn:${lsn}`);
  await site.checkAt('latest');
  await site.checkAt('tag:step-1');
  const listen = ['--listen', `unix:${target.inDirectory('none.sock')}`];
  for (const lsn of [first + 3, second - 1, last - 1])
    t.match(await target.refused('view', machineName, '--at', `lsn:${lsn}`, ...listen), { code: 'damaged' });
  await site.write(30);
  await site.checkAt('latest');
  await site.checkAt(`lsn:${second}`);
  t.match(await site.points(), { window: { to: { lsn: last + 30 } } });
});

t.test('files whose names go while it runs are put back, as long as it has them open', async (t) => {
  const site = await HistorySite.start(t, { ...hastySettings, WindowHours: '1h', ReplicaLag: '1h' });
  const { target } = site;
  const tags: number[] = [];
  for (let step = 0; step < 4; step += 1) {
    await site.writeHard(150);
    tags.push(await site.tag(`tag-${step}`));
  }
  const view = await site.openSome();
  const redo = path.join(site.directory, 'redo');
  const list = (): string[] => fs.readdirSync(redo).filter((name) => name.endsWith('.seg'));
  const files = list();
  t.ok(files.length > 2, `${files.length} files, the newest one open for writing`);
  for (const name of files) fs.unlinkSync(path.join(redo, name));
  await site.write(5);
  const { status, out } = await target.command(['verify', machineName]);
  t.equal(status, 0, out);
  t.equal(out.match(/^Put back .*: its name was gone, and it was still open\.$/gm)?.length, files.length);
  t.same(
    files.filter((name) => !list().includes(name)),
    [],
  );
  await site.check(view);
  await site.write(5);
  await target.kill();
  await site.comeBack();
  for (const lsn of tags) await site.checkAt(`lsn:${lsn}`);
  await site.checkAt('latest');
  t.equal((await target.command(['verify', machineName])).status, 0);
});
