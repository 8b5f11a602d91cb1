// `homeward retention` and `points lock`, `unlock`, `--rates`: what is asked, and what is shown.
import path from 'node:path';
import t, { type Test } from 'tap';
import { startControlServer } from '../../../agent/control/server.ts';
import { formatPoints } from '../../../cli/commands/points.ts';
import { run } from '../../../cli/run.ts';
import { silentLog } from '../../../core/log.ts';
import { capturedIo } from '../../support/captured-io.ts';
import { stubService } from '../../support/stub-service.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

process.env['TZ'] = 'Asia/Tokyo';

interface Ran {
  status: number;
  out: string;
  err: string;
  call: unknown;
}

/** Runs a command against a daemon that only answers; gives what it was asked. */
async function serve(t: Test): Promise<(args: string) => Promise<Ran>> {
  const socket = path.join(temporaryDirectory(t), 'control.sock');
  const service = stubService();
  const server = await startControlServer({ path: socket, service, log: silentLog });
  t.teardown(() => server.close());
  return async (args) => {
    const io = capturedIo();
    const status = await run([...args.split(' '), '--control', socket], io);
    return { status, out: io.out(), err: io.err(), call: service.calls.splice(0)[0] };
  };
}

t.test('retention shows, and sets what is given', async (t) => {
  const homeward = await serve(t);
  const shown = await homeward('retention web');
  t.same(shown.call, ['retention', 'web', null]);
  t.match(shown.out, /^The history of web\n +window +1 d, every write of it \(as it was protected\)\n/);
  t.match(
    shown.out,
    / +keep +hourly=7d,daily=4w \(set for this machine\)\n +max size +no bound \(the default\)/,
  );
  const set = await homeward(
    'retention web --window 15d --keep daily=4w,hourly=7d --max-size 200G --floor 4h',
  );
  t.same(set.call, [
    'retention',
    'web',
    {
      windowMs: 15 * 86_400_000,
      keep: 'hourly=7d,daily=4w',
      maxBytes: 200 * 1024 ** 3,
      floorMs: 14_400_000,
    },
  ]);
  t.match(
    set.out,
    /^The history of web is kept so now\n[^]*is not kept any more; nothing brings it back\.\n$/,
  );
  t.notMatch(shown.out, /brings it back/);
  const taken = await homeward('retention web --window default --keep none --max-size 0 --json');
  t.same(taken.call, ['retention', 'web', { windowMs: null, keep: 'none', maxBytes: 0 }]);
  t.match(JSON.parse(taken.out), { machine: 'web', windowMs: 86_400_000, changed: true });
});

t.test('points are locked and unlocked; a time is that of the shell', async (t) => {
  const homeward = await serve(t);
  const locked = await homeward('points lock web --at 2026-01-31T14:05:00 --until 2027-01-01T00:00:00');
  t.same(locked.call, [
    'lockPoint',
    {
      machine: 'web',
      at: '2026-01-31T14:05:00+09:00',
      until: '2027-01-01T00:00:00+09:00',
      name: null,
    },
  ]);
  t.match(locked.out, /^LSN 118 at 2026-01-31T14:05:00.123456Z of web is locked until 2099-01-01/);
  const day = await homeward('points lock web --at lsn:9 --until 2027-01-31');
  t.match(day.call, ['lockPoint', { until: '2027-01-31T00:00:00+09:00' }]);
  const named = await homeward('points lock web --at tag:x --until 90d --name audit');
  t.same(named.call, ['lockPoint', { machine: 'web', at: 'tag:x', until: '90d', name: 'audit' }]);
  const unlocked = await homeward('points unlock web --at lsn:118');
  t.same(unlocked.call, ['unlockPoint', 'web', 'lsn:118']);
  t.match(unlocked.out, /is not locked any more/);
  const held = await homeward('points unlock web --at tag:held');
  t.equal(held.status, 6);
  t.match(held.err, /\(locked\)\nWait until then, or lock it for longer/);
  t.same((await homeward('points web --rates')).call, ['points', 'web']);
});

t.test('what cannot be meant is refused before anybody is asked', async (t) => {
  const homeward = await serve(t);
  for (const [args, code] of [
    ['retention', 'usage'],
    ['retention web --window 0s', 'bad-duration'],
    ['retention web --window soon', 'bad-duration'],
    ['retention web --keep dayly=4w', 'bad-keep-rules'],
    ['retention web --max-size much', 'bad-size'],
    ['points', 'usage'],
    ['points lock web --until 90d', 'usage'],
    ['points lock web --at latest', 'usage'],
    ['points lock web --at latest --until soon', 'usage'],
    ['points lock web --at latest --until 2027-02-30', 'usage'],
    ['points unlock web', 'usage'],
    ['points web now', 'usage'],
    ['points web --wach', 'usage'],
  ] as const) {
    const { status, err, call } = await homeward(`--json ${args}`);
    t.equal(status, 2, args);
    t.equal((JSON.parse(err) as { error: { code: string } }).error.code, code, args);
    t.equal(call, undefined);
  }
  const name = await homeward('--json points lock web --at latest --until 1d --name a/b');
  t.match(name.err, /bad-tag-name/);
});

t.test('help says that root can, and where to read more', async (t) => {
  const homeward = await serve(t);
  t.match(
    (await homeward('points lock --help')).out,
    /Root on the master target's host[^]*docs\/retention.md/,
  );
});

t.test('points shows why what is kept, until when, and what was written', async (t) => {
  const time = '2026-01-31T14:00:00.000000Z';
  const moment = { lsn: 12, time };
  const text = formatPoints({
    machine: 'web',
    window: { from: moment, to: { lsn: 90, time } },
    gaps: [],
    tags: [],
    kept: [{ lsn: 7, time, tag: 'noon', reasons: ['locked', 'daily'], until: '2026-03-01T00:00:00.000000Z' }],
    locks: [{ lsn: 7, time, until: '2026-03-01T00:00:00.000000Z', since: time, name: 'audit' }],
    rate: [{ time, bytes: 2048, records: 3, flushes: 1 }],
  });
  t.match(text, /Kept points\nLSN +TIME +WHY +UNTIL +TAG\n +7 +2026\S+ +locked, daily +2026-03\S+ +noon\n/);
  t.match(text, /Locks, which nobody shortens[^\n]*\n[^\n]*\n +7 +2026-01\S+ +2026-03\S+ +audit\n/);
  t.match(text, /Writes per minute\n[^\n]*\n2026\S+ +2 KiB +3 +1\n/);
});
