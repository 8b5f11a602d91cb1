// Points that are kept below the dense window: tags and locks stay exact while what lies between them goes.
import t from 'tap';
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
  const locked = (await site.status()).headLsn - random.below(20);
  await target.ask(...lock(`lsn:${locked}`, '1h'), '--name', 'audit');
  await site.writeKept(['first', 'second', 'third']);
  const [first = 0, second = 0] = site.tagLsns;
  const { kept, locks, window } = await site.points();
  t.match(kept, [
    { lsn: locked, reasons: ['locked'] },
    { lsn: first, tag: 'first', reasons: ['tag'] },
    { lsn: second, tag: 'second' },
    { tag: 'third' },
  ]);
  t.match(locks, [{ lsn: locked, name: 'audit' }]);
  t.ok((window?.from.lsn ?? 0) > (site.tagLsns[2] ?? 0));
  await site.checkAll();
  for (const name of ['first', 'second', 'third']) await site.checkAt(`tag:${name}`);

  for (const [lsn, before, after] of [
    [locked + 1, locked, first],
    [first + 1 + random.below(second - first - 1), first, second],
  ] as const) {
    const listen = ['--listen', `unix:${target.inDirectory('none.sock')}`];
    const refused = await target.refused('view', machineName, '--at', `lsn:${lsn}`, ...listen);
    t.match(refused, { status: 4, code: 'thinned' });
    t.match(
      refused.message,
      new RegExp(`lsn:${before} \\\\(.* lsn:${after} \\\\(`),
      'both neighbours are named',
    );
  }
  const below = await target.refused('recover', machineName, '--at', 'lsn:1', '--to', 'raw:/nonexistent');
  t.match(below, { status: 4, code: 'outside-window' });

  await lockedPointStays(site, locked);
  t.match(await verified(target), { ok: true, damaged: [] });
  t.notMatch(target.log, /level=error/);
});

/** Neither a command nor rules that keep nothing take it away, nor a crash while the rest goes. */
async function lockedPointStays(site: HistorySite, locked: number): Promise<void> {
  const { target, t } = site;
  const unlock = await target.refused('points', 'unlock', machineName, '--at', `lsn:${locked}`);
  t.match(unlock, { status: 6, code: 'locked' });
  t.match(await target.refused(...lock(`lsn:${locked}`, '1m')), { status: 6, code: 'locked' });
  const stop = killWhen(site, (room, name) => room === 'undo' && name.endsWith('.seg'));
  const change = target.command(['retention', machineName, '--keep', 'none', '--json']);
  await until('the kill', () => !target.process.running);
  stop();
  await change;
  await site.comeBack();
  await until('the tags to go', async () => (await site.points()).kept.length === 1);
  t.match((await site.points()).kept, [{ lsn: locked, reasons: ['locked'] }]);
  await site.checkAt(`lsn:${locked}`, 'the locked point is still there');
  const gone = await target.refused('recover', machineName, '--at', 'tag:first', '--to', 'raw:/nonexistent');
  t.match(gone, { code: /no-such-tag|thinned/ });
  await site.checkAll();
}
