// Calls on their way to hosts: taken once, given back when they did not arrive, ended by whoever asked.
import { Readable } from 'node:stream';
import t from 'tap';
import { Calls } from '../../../config-server/hosts/calls.ts';

const call = { method: 'GET', path: '/v1/views', body: null } as const;
const never = new AbortController().signal;

t.test('a call is handed out once and answered once, by its own host', async (t) => {
  const woken: string[] = [];
  const calls = new Calls((host) => woken.push(host));
  const answer = calls.ask('a', call, never);
  t.same(woken, ['a']);
  t.ok(calls.waitFor('a'));
  t.notOk(calls.waitFor('b'));
  const [taken] = calls.take('a', 'run');
  t.same(calls.take('a', 'run'), []);
  const body = Readable.from(['x']);
  t.notOk(calls.answer('b', taken?.id ?? '', { status: 200, body }));
  t.ok(calls.answer('a', taken?.id ?? '', { status: 200, body }));
  t.equal((await answer).status, 200);
  t.notOk(calls.answer('a', taken?.id ?? '', { status: 200, body }), 'nobody waits any more');
});

t.test('a call that is not taken in time says so, also when it was given back', async (t) => {
  const calls = new Calls(() => undefined, 20);
  await t.rejects(calls.ask('a', call, never), { code: 'host-not-connected' });
  const given = calls.ask('a', call, never);
  calls.giveBack(calls.take('a', 'run'));
  t.ok(calls.waitFor('a'), 'it is there again');
  await t.rejects(given, { code: 'host-not-connected' });
});

t.test('whoever asked may go, and a stop ends all', async (t) => {
  const calls = new Calls(() => undefined);
  const going = new AbortController();
  const asked = calls.ask('a', call, going.signal);
  going.abort();
  await t.rejects(asked, { code: 'interrupted' });
  t.same(calls.take('a', 'run'), []);
  await t.rejects(calls.ask('a', call, going.signal), { code: 'interrupted' });
  const stopped = calls.ask('a', call, never);
  calls.close();
  await t.rejects(stopped, { code: 'interrupted' });
  const many = Array.from({ length: 256 }, () => calls.ask('a', call, never));
  await t.rejects(calls.ask('a', call, never), { code: 'too-many-attempts' });
  calls.close();
  for (const each of many) await t.rejects(each, { code: 'interrupted' });
});

t.test('what a host has taken and will not answer is not waited for', async (t) => {
  const calls = new Calls(() => undefined);
  const before = calls.ask('a', call, never);
  t.equal(calls.take('a', 'first').length, 1);
  t.same(calls.take('a', 'first'), [], 'it is still working on it');
  const next = calls.ask('a', call, never);
  t.equal(calls.take('a', 'second').length, 1, 'started again, it gets the next');
  await t.rejects(before, { code: 'host-not-connected' });
  calls.silent('b');
  calls.silent('a');
  await t.rejects(next, { code: 'host-not-connected' });
});
