// Running checks: order, time limits, what throws, what is put right, what keeps the service from starting.
import t from 'tap';
import {
  emptyContext,
  fail,
  pass,
  skipped,
  warn,
  type Check,
} from '../../../../agent/prerequisites/check.ts';
import { runChecks } from '../../../../agent/prerequisites/run-checks.ts';
import { described } from '../../../support/record-host.ts';

const host = described({ disks: [], mounts: [], facts: { now: '2026-01-31T12:00:00Z' } });
const context = emptyContext('master-target', '0.1.0', '/data');
const check = (id: string, fields: Partial<Check> = {}): Check => ({
  id,
  severity: 'hard',
  title: id,
  run: () => Promise.resolve(pass('well')),
  ...fields,
});

t.test('checks come in their order, each reported as it is done', async (t) => {
  const done: string[] = [];
  const report = await runChecks([check('b'), check('a'), check('c')], host, context, {
    done: ({ id }) => done.push(id),
  });
  t.same(done, ['b', 'a', 'c']);
  t.match(report, { ok: true, blocked: false, role: 'master-target', time: '2026-01-31T12:00:00.000Z' });
  t.same(
    report.checks.map(({ id }) => id),
    done,
  );
});

t.test('one that throws has failed, with the reason, and the others go on', async (t) => {
  const broken = check('broken', { run: () => Promise.reject(new Error('no /sys here')) });
  const report = await runChecks([broken, check('next')], host, context);
  t.match(report.checks[0], { result: 'fail', found: 'could not be looked at: no /sys here', blocks: true });
  t.match(report.checks[1], { result: 'pass' });
  t.match(report, { ok: false, blocked: true });
  const advice = await runChecks([{ ...broken, severity: 'advice' }], host, context);
  t.match(advice.checks[0], { result: 'warn', blocks: false });
});

t.test('one that throws at once is no different', async (t) => {
  const broken = check('broken', {
    run: () => {
      throw new Error('at once');
    },
  });
  t.match((await runChecks([broken], host, context)).checks[0], { found: /at once/ });
});

t.test('one that never answers has failed', async (t) => {
  const silent = check('silent', { run: () => new Promise(() => undefined) });
  const report = await runChecks([silent, check('next')], host, context, { timeoutMs: 20 });
  t.match(report.checks, [{ result: 'fail', found: /no answer within 0\.02 s/ }, { result: 'pass' }]);
});

t.test('severity and what was accepted decide whether the service starts', async (t) => {
  const no = { run: () => Promise.resolve(fail('bad', 'mend it')) };
  const accepted = ['hard', 'soft'].map((id) => ({ id, because: 'so', since: '2026-01-01T00:00:00Z' }));
  const run = (checks: Check[]): ReturnType<typeof runChecks> =>
    runChecks(checks, host, { ...context, accepted });
  t.match(await run([check('hard', no)]), { ok: false, blocked: true, checks: [{ accepted: null }] });
  const soft = check('soft', { ...no, severity: 'hard-unless-accepted' });
  t.match(await run([soft]), { ok: true, blocked: false, checks: [{ result: 'fail', blocks: false }] });
  t.match(await run([{ ...soft, id: 'other' }]), { ok: false, blocked: true });
  t.match(await run([check('talk', { ...no, severity: 'advice' })]), { ok: false, blocked: false });
  t.match(await run([check('w', { run: () => Promise.resolve(warn('hm', null)) })]), { ok: true });
  t.match(await run([check('s', { run: () => Promise.resolve(skipped('no')) })]), { ok: true });
});

t.test('only those of the role run, and only hard ones when asked', async (t) => {
  const checks = [
    check('all', { severity: 'advice' }),
    check('mine', { roles: ['master-target'], severity: 'hard-unless-accepted' }),
    check('theirs', { roles: ['process-server'] }),
  ];
  const ids = async (hardOnly: boolean): Promise<string[]> =>
    (await runChecks(checks, host, context, { hardOnly })).checks.map(({ id }) => id);
  t.same(await ids(false), ['all', 'mine']);
  t.same(await ids(true), ['mine']);
});

t.test('what can be put right is, and looked at again; what passes is left alone', async (t) => {
  let isWell = false;
  const fixes: string[] = [];
  const mendable = check('mendable', {
    run: () => Promise.resolve(isWell ? pass('well') : fail('ill', 'mend it')),
    fix: () => {
      fixes.push('mendable');
      isWell = true;
      return Promise.resolve('mended');
    },
  });
  const well = check('well', { fix: () => Promise.reject(new Error('not to be called')) });
  const hopeless = check('hopeless', {
    run: () => Promise.resolve(fail('ill', 'mend it')),
    fix: () => Promise.reject(new Error('no network')),
  });
  t.match((await runChecks([mendable], host, context)).checks, [{ result: 'fail', fixed: null }]);
  const { checks } = await runChecks([mendable, well, hopeless], host, context, { fix: true });
  t.match(checks, [
    { result: 'pass', found: 'well', fixed: 'mended' },
    { result: 'pass', fixed: null },
    { result: 'fail', fixed: 'not put right: no network' },
  ]);
  t.same(fixes, ['mendable']);
});
