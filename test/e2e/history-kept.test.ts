// Points that are kept below the dense window: tags and locks stay exact while what lies between them goes.
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { readCursor } from '../../agent/replica/cursor.ts';
import type { KeptReport } from '../../agent/control/client.ts';
import { until } from '../support/homeward.ts';
import { hastySettings, HistorySite, killWhen, machineName, verified } from '../support/history-site.ts';

t.setTimeout(240_000);

const lock = (at: string, more: string): string[] => [
  'points',
  'lock',
  machineName,
  '--at',
  at,
  '--until',
  more,
];

t.test('kept points stay exact through thinning and kill -9; between them nothing is guessed', async (t) => {
  const site = await HistorySite.start(t, { ...hastySettings, KeepRules: 'tags=4w' });
  const { target, random } = site;
  await site.write(40);
  const below = await site.tag('below');
  await site.write(40);
  const locked = (await site.status()).headLsn - random.below(20);
  await target.ask(...lock(`lsn:${locked}`, '1h'), '--name', 'audit');
  await site.writeKept(['first', 'second', 'third']);
  const [, first = 0, second = 0] = site.tagLsns;
  const { kept, locks, window } = await site.points();
  t.match(wanted(kept), [
    { lsn: below, tag: 'below' },
    { lsn: locked, reasons: ['locked'] },
    { lsn: first, tag: 'first', reasons: ['tag'] },
    { lsn: second, tag: 'second' },
    { tag: 'third' },
  ]);
  t.match(locks, [{ lsn: locked, name: 'audit' }]);
  t.ok((window?.from.lsn ?? 0) > (site.tagLsns[3] ?? 0));
  await site.checkAll();
  for (const name of ['first', 'second', 'third']) await site.checkAt(`tag:${name}`);

  const points = [...kept.map(({ lsn }) => lsn), window?.from.lsn ?? 0];
  for (const lsn of [first + 1 + random.below(second - first - 2), second + 1]) {
    const [before, after] = [points.findLast((point) => point < lsn), points.find((point) => point > lsn)];
    const listen = ['--listen', `unix:${target.inDirectory('none.sock')}`];
    const refused = await target.refused('view', machineName, '--at', `lsn:${lsn}`, ...listen);
    t.match(refused, { status: 4, code: 'thinned' });
    for (const neighbour of [before, after]) t.match(refused.message, `lsn:${neighbour} (`, 'it is named');
  }
  const older = await target.refused('recover', machineName, '--at', 'lsn:1', '--to', 'raw:/nonexistent');
  t.match(older, { status: 4, code: 'outside-window' });

  await lockedPointStays(site, locked);
  t.match(await verified(target), { ok: true, damaged: [] });
  t.notMatch(target.log, /level=error/);
});

/** A tag that is the last thing written and the end of a single step; only then does history grow old. */
async function tagLast(t: Test, name: string): Promise<{ site: HistorySite; tag: number }> {
  const settings = { ...hastySettings, KeepRules: 'tags=4w' };
  const site = await HistorySite.start(t, { ...settings, WindowHours: '1h', ReplicaLag: '1h' });
  await site.write(150);
  const tag = await site.tag(name);
  await site.applyAll();
  await site.target.kill();
  site.target.configure(settings);
  await site.comeBack(); // which begins a new file of redo
  return { site, tag };
}

t.test('a tag stays by its name where redo begins, although its own record is pruned', async (t) => {
  const { site, tag } = await tagLast(t, 'edge');
  const { target } = site;
  await site.write(60);
  // It is read from redo behind the tag, so that is as far as redo goes.
  const view = await target.view(machineName, `lsn:${tag + 30}`);
  await until('redo up to the tag to go', async () => {
    await site.write(20);
    return prunedOf(site) > 0;
  });
  t.equal(prunedOf(site), tag);
  await target.kill();
  await site.comeBack();
  t.match(await site.points(), { tags: [{ name: 'edge', lsn: tag }] });
  await site.checkAt('tag:edge');
  await target.closeView(view.id);
});

t.test('so does one that is the last thing that was written', async (t) => {
  const { site, tag } = await tagLast(t, 'last');
  const { target } = site;
  await until('all redo to go', () => prunedOf(site) === tag && redoFiles(site) <= 1);
  await target.kill();
  await site.comeBack();
  await site.checkAt('tag:last');
  await site.write(60);
  await site.applyAll();
  await target.kill();
  await site.comeBack();
  await site.checkAt('tag:last');
  t.match(await verified(target), { ok: true, damaged: [] });
});

const prunedOf = ({ directory }: HistorySite): number => readCursor(path.join(directory, 'cursor')).pruned;
const redoFiles = ({ directory }: HistorySite): number =>
  fs.readdirSync(path.join(directory, 'redo')).filter((name) => name.endsWith('.seg')).length;

/** Others are there only because a merge of them would not be worth it yet. */
const wanted = (kept: readonly KeptReport[]): KeptReport[] =>
  kept.filter(({ reasons = [] }) => reasons.length > 0);

/** Neither a command nor rules that keep nothing take it away, nor a crash while the rest goes. */
async function lockedPointStays(site: HistorySite, locked: number): Promise<void> {
  const { target, t } = site;
  const unlock = await target.refused('points', 'unlock', machineName, '--at', `lsn:${locked}`);
  t.match(unlock, { status: 6, code: 'locked' });
  t.match(await target.refused(...lock(`lsn:${locked}`, '1m')), { status: 6, code: 'locked' });
  // Then there is no step to be done, which would be what the kill meets.
  await site.applyAll();
  const stop = killWhen(site, (room, name) => room === 'undo' && name.endsWith('.seg'));
  const change = target.command(['retention', machineName, '--keep', 'none', '--json']);
  await until('the kill', () => !target.process.running);
  stop();
  await change;
  await site.comeBack();
  const left = async (): Promise<KeptReport[]> => wanted((await site.points()).kept);
  await until('the tags to go', async () => (await left()).length === 1);
  t.match(await left(), [{ lsn: locked, reasons: ['locked'] }]);
  await site.checkAt(`lsn:${locked}`, 'the locked point is still there');
  await until('what lies below to go', async () => (await site.points()).kept[0]?.lsn === locked);
  const gone = await target.refused('recover', machineName, '--at', 'tag:below', '--to', 'raw:/nonexistent');
  t.match(gone, { code: /no-such-tag|outside-window/ });
  await site.checkAll();
}
