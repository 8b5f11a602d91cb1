// Tags on demand and each interval: what is answered when, and what is refused.
import t from 'tap';
import { HomewardError } from '../../../../core/errors.ts';
import { silentLog } from '../../../../core/log.ts';
import type { HostCall } from '../../../../core/registration/messages.ts';
import { microseconds } from '../../../../core/units.ts';
import { tagCalls } from '../../../../mobility/tags/tag-calls.ts';
import { TagSchedule } from '../../../../mobility/tags/tag-schedule.ts';
import { Tagger } from '../../../../mobility/tags/tagger.ts';
import { tagRecorder } from './tag-recorder.ts';

const id = '6f2c1a3e-6a44-4d0b-9d0e-1f2f3a4b5c6d';

function setUp(refused: HomewardError | null = null) {
  const recorder = tagRecorder();
  const tagger = new Tagger({ recorder, refusal: () => refused, script: null, log: silentLog });
  const serve = tagCalls({ tagger, id, name: 'shop', spooledMs: 50, targetMs: 50 });
  return { recorder, tagger, serve };
}

const call = (body: object | null, path = '/v1/machines/shop/tags'): HostCall => ({
  id: '1',
  method: 'POST',
  path,
  body: body === null ? null : JSON.stringify(body),
});

t.test('a tag is answered when the process server has it', async (t) => {
  const { recorder, serve } = setUp();
  const answer = serve(call({ name: 'before the upgrade' }));
  recorder.spooledLsn = 1;
  recorder.moved();
  const { status, body } = await answer;
  t.equal(status, 200);
  const report = { machine: 'shop', lsn: 1, name: 'before the upgrade', consistency: 'user' };
  t.match(JSON.parse(body), { ...report, time: '1970-01-01T00:00:01.000000Z' });
});

t.test('one that the process server does not get is not called durable', async (t) => {
  const { serve } = setUp();
  await t.rejects(serve(call({ name: 'a' }, `/v1/machines/${id}/tags`)), { code: 'timed-out' });
});

t.test('what makes no sense is refused', async (t) => {
  const { serve } = setUp();
  await t.rejects(serve(call({ name: 'a' }, '/v1/machines/other/tags')), { code: 'no-such-machine' });
  await t.rejects(serve(call({ name: 'a' }, '/v1/machines/shop/views')), { code: 'usage' });
  await t.rejects(serve(call({ name: 'a/b' })), { code: 'bad-tag-name' });
  await t.rejects(serve(call({ name: 'a', consistency: 'some' })), { code: 'usage' });
  await t.rejects(serve(call(null)), { code: 'usage' });
  const during = setUp(new HomewardError('in-gap', 'a sync'));
  await t.rejects(during.serve(call({ name: 'a' })), { code: 'in-gap' });
  const stopped = setUp();
  stopped.recorder.recording = false;
  await t.rejects(stopped.serve(call({ name: 'a' })), { code: 'conflict' });
});

t.test('each interval in which something was written gets a tag', (t) => {
  const { recorder, tagger } = setUp();
  let nowMs = 0;
  let possible = true;
  const schedule = new TagSchedule({
    tagger,
    recorder,
    intervalMs: () => 1000,
    possible: () => possible,
    clock: { now: () => microseconds(1_700_000_000_000_000), monotonicMs: () => nowMs },
    log: silentLog,
  });
  const check = async (afterMs: number): Promise<number> => {
    nowMs += afterMs;
    schedule.check();
    await schedule.stop();
    return recorder.tags.length;
  };
  return (async () => {
    recorder.headLsn = 5;
    t.equal(await check(500), 0, 'too early');
    t.equal(await check(600), 1);
    t.same(recorder.tags, [{ name: 'auto-2023-11-14T22:13:20Z', consistency: 'crash' }]);
    t.equal(await check(5000), 1, 'nothing was written');
    recorder.headLsn += 1;
    possible = false;
    t.equal(await check(5000), 1, 'no point just now');
    possible = true;
    t.equal(await check(0), 2);
  })();
});
