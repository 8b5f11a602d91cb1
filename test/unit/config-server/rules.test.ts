// The rules of the configuration server alone: who gets in, how hosts do, what counts, what ends.
import t from 'tap';
import { Attempts } from '../../../config-server/enrolment/attempts.ts';
import { checkClocks, checkVersion, decideEnrolment } from '../../../config-server/enrolment/decide.ts';
import { EnrolmentSessions } from '../../../config-server/enrolment/sessions.ts';
import type { CheckedSummary } from '../../../core/registration/check-summary.ts';
import { judgeHost, spell } from '../../../config-server/hosts/health.ts';
import { localAddress } from '../../../config-server/listening.ts';

t.test('new mobility services get in, others wait, what was seen before waits', async (t) => {
  const fresh = { trusted: false, known: 'no', approved: false } as const;
  t.same(decideEnrolment({ ...fresh, role: 'mobility' }), { kind: 'enrol' });
  t.same(decideEnrolment({ ...fresh, role: 'process-server' }), { kind: 'wait', reason: 'new-host' });
  t.same(decideEnrolment({ ...fresh, role: 'master-target', trusted: true }), { kind: 'enrol' });
  t.same(decideEnrolment({ ...fresh, role: 'master-target', approved: true }), { kind: 'enrol' });
  t.same(decideEnrolment({ ...fresh, role: 'mobility', known: 'same-key' }), { kind: 'enrol' });
  for (const role of ['mobility', 'process-server'] as const) {
    t.same(decideEnrolment({ ...fresh, role, known: 'other-key' }), {
      kind: 'wait',
      reason: 'host-id-taken',
    });
    t.same(decideEnrolment({ ...fresh, role, known: 'removed' }), { kind: 'wait', reason: 'removed-before' });
    const trusted = { ...fresh, role, trusted: true };
    t.match(decideEnrolment({ ...trusted, known: 'other-key' }), { kind: 'wait' }, 'an id is no secret');
    t.match(decideEnrolment({ ...trusted, known: 'removed' }), { kind: 'wait' });
  }
});

t.test('clocks and versions', async (t) => {
  const now = Date.now() * 1000;
  t.doesNotThrow(() => checkClocks(now + 14 * 60e6, now));
  t.throws(() => checkClocks(now - 16 * 60e6, now), { code: 'clock-apart', message: /16 minutes/ });
  t.throws(() => checkClocks(1e300, now), { code: 'clock-apart' });
  t.doesNotThrow(() => checkVersion('1.2.3', '1.10.0'));
  t.throws(() => checkVersion('1.10.0', '1.2.3'), { code: 'version-newer' });
});

t.test('a host is judged by its silence, then by its clock, then by its checks', async (t) => {
  t.match(judgeHost({ silentMs: 1000, skewMs: 100 }), { health: 'ok', detail: null });
  t.match(judgeHost({ silentMs: 31_000, skewMs: 0 }), { health: 'warning', detail: 'silent 31 s' });
  t.match(judgeHost({ silentMs: 16 * 60_000, skewMs: 0 }), { health: 'critical', detail: 'silent 16 min' });
  t.match(judgeHost({ silentMs: 0, skewMs: -90_000 }), { health: 'warning', detail: /90 s behind/ });
  t.match(judgeHost({ silentMs: null, skewMs: null }), { health: 'warning' });
  t.equal(spell(3 * 3600_000), '3 h');
  const check = { id: 'lvm-quiet', time: '', found: '', action: null } as const;
  const judged = (more: Pick<CheckedSummary, 'severity' | 'result' | 'because'>): string => {
    const checks = { time: '', checks: [{ ...check, ...more }] };
    return judgeHost({ silentMs: 0, skewMs: 0, checks }).health;
  };
  const failed = { severity: 'hard-unless-accepted', result: 'fail', because: null } as const;
  t.equal(judged(failed), 'warning', 'and by what its next start will say');
  t.equal(judged({ ...failed, because: 'a lab' }), 'ok');
  t.equal(judged({ ...failed, severity: 'advice' }), 'ok');
});

t.test('failed attempts of an address count for a minute', async (t) => {
  let now = 0;
  const attempts = new Attempts(() => now, 2);
  for (let tries = 0; tries < 2; tries += 1) {
    attempts.check('a');
    attempts.count('a');
  }
  t.throws(() => attempts.check('a'), { code: 'too-many-attempts' });
  t.doesNotThrow(() => attempts.check('b'));
  now = 60_000;
  t.doesNotThrow(() => attempts.check('a'));
});

t.test('an enrolment that nobody asks for ends, and there are only so many', async (t) => {
  let now = 0;
  const sessions = new EnrolmentSessions(() => now);
  const nonce = Buffer.alloc(32);
  const session = {
    hostId: 'h',
    role: 'mobility',
    name: 'web',
    version: '1',
    clientNonce: nonce,
    serverNonce: nonce,
  } as const;
  const first = sessions.begin(session);
  now = 100_000;
  t.ok(sessions.get(first));
  sessions.proved(first);
  now = 219_000;
  t.ok(sessions.get(first), 'a proof keeps it');
  now = 400_000;
  t.equal(sessions.get(first), null);
  sessions.proved(first);
  t.equal(sessions.get(first), null, 'what is over stays so');
  const [kept, unproved] = [sessions.begin(session), sessions.begin(session)];
  sessions.proved(kept);
  for (let count = 0; count < 1023; count += 1) sessions.begin(session);
  t.ok(sessions.get(kept), 'a flood of beginnings does not push out who has proved the passphrase');
  t.equal(sessions.get(unproved), null);
  const proved = new EnrolmentSessions(() => now);
  for (let count = 0; count < 1024; count += 1) proved.proved(proved.begin(session));
  t.throws(() => proved.begin(session), { code: 'too-many-attempts' });
});

t.test('the address for programs on the same host', async (t) => {
  t.equal(localAddress({ host: '0.0.0.0', port: 443 }), '127.0.0.1:443');
  t.equal(localAddress({ host: '::', port: 1 }), '[::1]:1');
  t.equal(localAddress({ host: '10.0.0.1', port: 8443 }), '10.0.0.1:8443');
});
