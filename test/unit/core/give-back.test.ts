// Memory that is given back: what nothing refers to is collected, at once or when a thread has rested.
import t from 'tap';
import { collectGarbage, giveBack, RestingThread } from '../../../core/give-back.ts';
import { until } from '../../support/homeward.ts';

/** Nothing else refers to it, but the job that makes it has to end first. */
function garbage(): WeakRef<object> {
  return new WeakRef({ large: new SharedArrayBuffer(1024) });
}
const nextJob = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

t.test('what nothing refers to is collected', async () => {
  const inBackground = (): void => void giveBack(); // its timer does not keep this process alive
  for (const collect of [collectGarbage, inBackground]) {
    const made = garbage();
    await nextJob();
    collect();
    await until(`${collect.name} to collect it`, () => made.deref() === undefined);
  }
});

t.test('a thread collects when it has rested', async (t) => {
  const thread = new RestingThread(50);
  const made = garbage();
  await nextJob();
  t.ok(made.deref(), 'nobody has collected it yet');
  await nextJob();
  thread.ended();
  await until('it to be collected', () => made.deref() === undefined);
});
