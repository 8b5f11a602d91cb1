// Checks waits that end early, and how long a host waits for a server that is away.
import t from 'tap';
import { Pause, retryDelay, unlessAborted } from '../../../../core/registration/pause.ts';

t.test('a wait is cut short, also by what came before it', async (t) => {
  const pause = new Pause();
  await pause.wait(1);
  const long = pause.wait(3_600_000);
  pause.cut();
  await long;
  pause.cut();
  pause.cut();
  await pause.wait(3_600_000);
  const next = pause.wait(3_600_000);
  let ended = false;
  void next.then(() => (ended = true));
  await new Promise((resolve) => setImmediate(resolve));
  t.notOk(ended, 'one cut ends one wait');
  pause.cut();
  await next;
});

t.test('delays double up to a bound, each spread over its last quarter', async (t) => {
  const delays = [1, 2, 3, 4, 5, 100].map((failures) => retryDelay(failures, 2000, 15_000, 1));
  t.same(delays, [2000, 4000, 8000, 15_000, 15_000, 15_000]);
  t.equal(retryDelay(2, 2000, 15_000, 0), 3000);
  const delay = retryDelay(2, 2000, 15_000);
  t.ok(delay >= 3000 && delay < 4000);
});

t.test('work is waited for unless the signal aborts', async (t) => {
  const abort = new AbortController();
  t.equal(await unlessAborted(Promise.resolve(7), abort.signal), 7);
  await t.rejects(unlessAborted(Promise.reject(new Error('x')), abort.signal), { message: 'x' });
  const never = unlessAborted(new Promise(() => undefined), abort.signal);
  abort.abort();
  await t.rejects(never, { code: 'interrupted' });
  await t.rejects(unlessAborted(Promise.resolve(7), abort.signal), { code: 'interrupted' });
});
