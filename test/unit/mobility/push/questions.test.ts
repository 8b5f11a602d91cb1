// What is asked over a stream that may break: hashes, places, and how soon to try again.
import t from 'tap';
import type { Note, Relay } from '../../../../core/chain/messages.ts';
import { Backoff } from '../../../../mobility/push/backoff.ts';
import { HashQuestions } from '../../../../mobility/push/hash-questions.ts';
import { Places } from '../../../../mobility/push/places.ts';
import { chooseSeed, seededRandom } from '../../../support/random.ts';

const never = new AbortController().signal;
const KiB = 1024;

t.test('hashes come back to who asked for them, in any order', async (t) => {
  const sent: Relay[] = [];
  const questions = new HashQuestions((relay) => sent.push(relay) > 0);
  const one = questions.ask(7, 0, 0, 128 * KiB, never);
  const two = questions.ask(7, 0, 128 * KiB, 129 * KiB, never);
  t.equal(sent.length, 2);
  const of = (start: number, end: number, bytes: Buffer): void =>
    questions.received({ kind: 'hashes', sync: 7, disk: 0, start, end, hashes: bytes.toString('base64') });
  of(128 * KiB, 129 * KiB, Buffer.alloc(16, 2));
  of(0, 128 * KiB, Buffer.alloc(32, 1));
  t.same(await one, Buffer.alloc(32, 1));
  t.same(await two, Buffer.alloc(16, 2));
});

t.test('each way not to get them has its code', async (t) => {
  const questions = new HashQuestions(() => true);
  const asked = { sync: 1, disk: 0, start: 0, end: 64 * KiB };
  const ask = (signal = never) => questions.ask(1, 0, 0, 64 * KiB, signal);
  const broken = ask();
  questions.disconnected();
  await t.rejects(broken, { code: 'chain-broken' });
  const failed = ask();
  questions.received({ ...asked, kind: 'hashes-failed', message: 'no view' });
  await t.rejects(failed, { code: 'damaged', message: /no view/ });
  const short = ask();
  questions.received({ ...asked, kind: 'hashes', hashes: 'AAAA' });
  await t.rejects(short, { code: 'damaged' });
  const away = new HashQuestions(() => false);
  await t.rejects(away.ask(1, 0, 0, 1, never), { code: 'host-not-connected' });
  const abort = new AbortController();
  const aborted = ask(abort.signal);
  abort.abort(new Error('enough'));
  await t.rejects(aborted, { message: 'enough' });
});

t.test('a place is asked for again in a new stream, until it is not wanted any more', async (t) => {
  const sent: Note['kind'][] = [];
  const places = new Places((note) => sent.push(note.kind) > 0);
  places.connected();
  t.same(sent, []);
  const ahead: number[] = [];
  const granted = places.request((count) => ahead.push(count), never);
  places.placed(2);
  places.connected();
  places.placed(1);
  places.placed(0);
  await granted;
  places.connected();
  places.done();
  places.connected();
  t.same(ahead, [2, 1]);
  t.same(sent, ['sync-wanted', 'sync-wanted', 'sync-wanted', 'sync-done']);
  const abort = new AbortController();
  const waiting = places.request(() => undefined, abort.signal);
  abort.abort(new Error('enough'));
  await t.rejects(waiting, { message: 'enough' });
});

t.test('attempts come further and further apart, and begin anew when one worked', async (t) => {
  const random = seededRandom(chooseSeed(t));
  const backoff = new Backoff(() => random.next());
  const waits = Array.from({ length: 20 }, () => backoff.next());
  t.ok(waits.every((ms) => ms >= 200 && ms <= 5000));
  t.ok((waits[0] ?? 0) === 200 && (waits.at(-1) ?? 0) >= 2500);
  backoff.reset();
  t.equal(backoff.next(), 200);
});
