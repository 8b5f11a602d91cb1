// Tags and WHEN as users type them: the right LSN, or a refusal that says what would be right.
import t, { type Test } from 'tap';
import type { PointsReport, RecoverPlan, TagReport } from '../../agent/control/client.ts';
import { Command } from '../../core/nbd/protocol.ts';
import { MasterTarget, until } from '../support/homeward.ts';
import { NbdClient } from '../support/nbd-client.ts';

// A time without a zone is read in the host's; this one is nine hours ahead all the year.
process.env['TZ'] = 'Asia/Tokyo';
t.setTimeout(240_000);

interface Day {
  target: MasterTarget;
  client: NbdClient;
  lsnOf(when: string): Promise<number>;
  timeOf(lsn: number): Promise<string>;
}

/** One write a moment: LSNs 1 to 3, tag `noon` at 4, 5 and 6, tag `night` at 7, 8. */
async function startDay(t: Test): Promise<Day> {
  const target = await MasterTarget.start(t);
  const client = await NbdClient.open({ path: await target.ingest('box', ['disk=1M']) }, 'disk');
  t.teardown(() => client.socket.destroy());
  const none = { kind: 'raw', directory: target.inDirectory('none') } as const;
  const plan = (when: string): Promise<RecoverPlan> =>
    target.client.planRecovery({ machine: 'box', at: when, target: none, overwrite: [] });
  const day = {
    target,
    client,
    lsnOf: async (when: string) => (await plan(when)).lsn,
    timeOf: async (lsn: number) => (await plan(`lsn:${lsn}`)).time ?? '',
  };
  for (let count = 0; count < 3; count += 1) await write(day);
  t.match(await target.ask<TagReport>('tag', 'box', '--name', 'noon'), {
    lsn: 4,
    name: 'noon',
    consistency: 'crash',
  });
  for (let count = 0; count < 2; count += 1) await write(day);
  t.match(await target.ask<TagReport>('tag', 'box', '--name', 'night'), { lsn: 7 });
  await write(day);
  return day;
}

async function write({ client }: Pick<Day, 'client'>): Promise<void> {
  await client.ask(Command.write, 0, 512, Buffer.alloc(512, 1));
}

/** An RFC 3339 time moved by microseconds, in UTC. */
function moved(time: string, byMicros: number): string {
  const micros = Number(time.slice(20, 26)) + byMicros;
  const seconds = Date.parse(`${time.slice(0, 19)}Z`) / 1000 + Math.floor(micros / 1e6);
  const rest = String(((micros % 1e6) + 1e6) % 1e6).padStart(6, '0');
  return `${new Date(seconds * 1000).toISOString().slice(0, 19)}.${rest}Z`;
}

t.test('names, tags and LSNs mean what they say', async (t) => {
  const { target, lsnOf } = await startDay(t);
  t.equal(await lsnOf('latest'), 8);
  t.equal(await lsnOf('latest-tag'), 7);
  t.equal(await lsnOf('tag:noon'), 4);
  t.equal(await lsnOf('tag:night'), 7);
  t.equal(await lsnOf('lsn:5'), 5);
  t.equal(await lsnOf('lsn:0'), 0);
  const points = await target.ask<PointsReport>('points', 'box');
  t.match(points, {
    window: { from: { lsn: 0 }, to: { lsn: 8 } },
    gaps: [],
    tags: [
      { name: 'noon', lsn: 4 },
      { name: 'night', lsn: 7 },
    ],
  });
  await target.kill();
  await target.restart();
  t.equal(await lsnOf('tag:noon'), 4, 'tags survive kill -9');
  t.same(await target.ask<PointsReport>('points', 'box'), points, 'as does every time');
});

t.test('a time is the state after the last write stamped at or before it, in any spelling', async (t) => {
  const { lsnOf, timeOf } = await startDay(t);
  for (const lsn of [1, 4, 6, 8]) {
    const time = await timeOf(lsn);
    t.equal(await lsnOf(time), lsn, `${time} is lsn:${lsn}`);
    t.equal(await lsnOf(moved(time, 1)), lsn, 'and so it is a microsecond later');
    t.equal(await lsnOf(moved(time, -1)), lsn - 1, 'a microsecond earlier it is the one before');
    const tokyo = moved(time, 9 * 3600e6).slice(0, -1);
    t.equal(await lsnOf(`${tokyo}+09:00`), lsn, 'with an offset');
    t.equal(await lsnOf(tokyo), lsn, 'in the zone of this host');
    t.equal(await lsnOf(tokyo.replace('T', ' ')), lsn, 'with a space');
  }
});

t.test('a while ago is reckoned from now', async (t) => {
  const day = await startDay(t);
  const before = Date.parse(await day.timeOf(8));
  await until('a second to pass', () => Date.now() > before + 1500);
  await write(day);
  const ago = (Date.now() - before) / 1000 - 0.7;
  t.equal(await day.lsnOf(`-${ago.toFixed(3)}s`), 8);
  const args = ['recover', 'box', '--at', '-0s', '--to', 'raw:none', '--plan'];
  t.match(
    await day.target.ask<RecoverPlan>(...args),
    { lsn: 9 },
    'also as an argument that begins with a dash',
  );
});

t.test('what cannot be shown is refused with what could be', async (t) => {
  const { target, timeOf } = await startDay(t);
  const [first, last] = [await timeOf(0), await timeOf(8)];
  const window = `from lsn:0 (${first}) to lsn:8 (${last})`;
  const at = (when: string): ReturnType<MasterTarget['refused']> =>
    target.refused('view', 'box', '--at', when, '--listen', `unix:${target.inDirectory('none.sock')}`);
  for (const when of ['lsn:9', 'lsn:9007199254740991', '2001-01-01T00:00:00Z', '-52w', moved(first, -1)]) {
    const refused = await at(when);
    t.match(refused, { status: 4, code: 'outside-window' }, when);
    t.match(refused.message, window, 'the window is named');
  }
  t.match(await at('2199-01-01T00:00:00Z'), { status: 4, code: 'in-future' });
  t.match(await at('tag:dawn'), { status: 3, code: 'no-such-tag', message: 'there is no tag "dawn"' });
  t.match(await at('latest-app'), { status: 3, code: 'no-such-tag' });
  for (const when of ['yesterday', 'lsn:-1', 'lsn:1.5', '2026-13-01', '2026-02-30T25:00Z', '-15', '']) {
    t.match(await at(when), { status: 2 }, `"${when}" is no moment`);
  }
  t.match(await target.refused('tag', 'box', '--name', 'noon'), { status: 5, code: 'tag-exists' });
  t.match(await target.refused('tag', 'box', '--name', 'a/b'), { status: 2, code: 'bad-tag-name' });
  t.match(await target.refused('tag', 'nobody', '--name', 'x'), { status: 3, code: 'no-such-machine' });
  t.equal((await target.status('box')).headLsn, 8, 'and nothing of it took an LSN');
});

t.test(
  'a time without an offset is in the zone of the shell, not the daemon, and is shown with it',
  async (t) => {
    const { target, timeOf } = await startDay(t);
    const utc = await timeOf(5);
    const env = { TZ: 'Etc/GMT-5' };
    const typed = moved(utc, 5 * 3600 * 1e6).slice(0, -1);
    const plan = ['recover', 'box', '--plan', '--to', `raw:${target.inDirectory('none')}`, '--at'];
    const { out } = await target.command([...plan, typed, '--json'], { env });
    t.match(JSON.parse(out), { lsn: 5, asked: utc });
    const shown = await target.command([...plan, typed], { env });
    t.ok(shown.out.includes(`Asked for ${typed}+05:00 (`), shown.out);
    const early = await target.command([...plan, '2020-01-01T00:00:00'], { env });
    t.equal(early.status, 4);
    t.match(early.err, '2020-01-01T00:00:00+05:00 (2019-12-31T19:00:00Z) is outside the window');
    t.match(await target.ask<RecoverPlan>(...plan, 'latest'), { asked: null });
    const ago = (await target.ask<RecoverPlan>(...plan, '-0s')).asked;
    t.ok(ago !== null && ago >= utc, 'that long ago is a time, too');
  },
);
