// Checks what a view believes of a replica while steps open and end under it.
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import t, { type Test } from 'tap';
import type { PlanMessage, ViewContent } from '../../../../agent/replica/view-content.ts';
import { openSums, Rest, sumOf, SumsPage } from '../../../../agent/replica/replica-sums.ts';
import { ViewReader } from '../../../../agent/replica/view-reader.ts';
import { block, fill, machine, World } from './view-world.ts';

/** A view of a replica with checksums, and a step that opens and ends under it. */
class Stepped {
  readonly world = new World();
  readonly page = new SumsPage();
  readonly reader: ViewReader;
  readonly #sums = openSums(this.world.files, '/m/derived/sums-0', { machine, disk: 0 }, true)!;
  readonly #port: MessagePort;
  readonly #counter = new Int32Array(new SharedArrayBuffer(4));
  readonly #content: ViewContent;

  constructor(t: Test) {
    for (let at = 0; at < 8; at++) this.page.words[at] = sumOf(fill(100 + at));
    this.saySums({ low: 9, high: 9 });
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    const { world } = this;
    const content = world.content(9, { replicas: { low: 9, high: 9 } }, '/m/derived/sums-0');
    const counter = this.#counter.buffer as SharedArrayBuffer;
    this.#content = { ...content, live: { counter, port: port2 } };
    this.reader = new ViewReader(this.#content, { files: world.files });
    t.teardown(() => {
      this.reader.close();
      port1.close();
    });
  }

  saySums({ low, high }: { low: number; high: number }): void {
    this.#sums.writePage(0, this.page);
    this.#sums.writeState({ low, high, open: low < high, rest: Rest.unknown });
  }

  /** The step from 9 to 10, whose undo has what blocks held, or the beginning of each. */
  async open(old: readonly [number, number | 'unknown'][], length = block): Promise<void> {
    const { segment, table } = await this.world.undo(0, 9, 10, old, length);
    const replicas = { low: 9, high: 10 };
    const plan = { ...this.#content.plan, undo: [table], segments: [segment], counter: 1, replicas };
    this.#port.postMessage({ plan } satisfies PlanMessage);
    Atomics.store(this.#counter, 0, 1);
  }

  end(): void {
    this.saySums({ low: 10, high: 10 });
    this.#port.postMessage({ ended: 2, cursor: 10 } satisfies PlanMessage);
    Atomics.store(this.#counter, 0, 2);
  }
}

const rotten = (at: number): { code: string; message: string } => {
  const where = `bytes ${at * block} to ${(at + 1) * block}`;
  return { code: 'damaged', message: `${where} of the replica of disk root do not fit their checksums` };
};

t.test('a replica is checked against its sums, also while a step writes elsewhere', async (t) => {
  const stepped = new Stepped(t);
  const { world, reader, page } = stepped;
  world.files.write(world.replica, [Buffer.from('rot')], 3 * block + 5);
  const part = Buffer.alloc(100);
  t.throws(() => reader.read(0, 3 * block + 1000, part), rotten(3), 'a part of a block is read as a whole');
  reader.read(0, 2 * block, part);
  // A step writes another block; what that had is in undo.
  await stepped.open([[4, 104]]);
  world.files.write(world.replica, [fill(33)], 4 * block);
  reader.read(0, 4 * block, part);
  t.same(part, Buffer.alloc(100, 104));
  reader.read(0, 2 * block, part);
  t.throws(() => reader.read(0, 3 * block + 1000, part), rotten(3), 'while the step goes on');
  stepped.saySums({ low: 9, high: 10 });
  page.words[4] = sumOf(fill(33));
  t.throws(() => reader.read(0, 3 * block + 1000, part), rotten(3));
  stepped.end();
  reader.read(0, 0, part);
  t.throws(() => reader.read(0, 3 * block, part), rotten(3), 'and when it has ended');
  reader.read(0, 4 * block, part);
  t.same(part, Buffer.alloc(100, 104));
});

const half = block / 2;

t.test(
  'what a step leaves of a block that it writes in part was sound when undo of it was made',
  async (t) => {
    const stepped = new Stepped(t);
    const { world, reader } = stepped;
    await stepped.open([[5, 105]], half);
    world.files.write(world.replica, [Buffer.alloc(half, 44)], 5 * block);
    const whole = Buffer.alloc(block);
    reader.read(0, 5 * block, whole);
    t.same(whole, fill(105), 'so it is shown, however long the step has to stay open');
    world.files.write(world.replica, [Buffer.from('rot')], 5 * block + half);
    stepped.end();
    reader.refresh();
    t.throws(() => reader.read(0, 5 * block, whole), rotten(5), 'and looked at again when it has ended');
  },
);

t.test('where undo knows nothing of it, it is believed when the block fits', async (t) => {
  const stepped = new Stepped(t);
  const { world, reader, page } = stepped;
  await stepped.open([[5, 'unknown']], half);
  world.files.write(world.replica, [Buffer.alloc(half, 44)], 5 * block);
  // The sum follows: the reader looks until it has.
  const written = Buffer.concat([Buffer.alloc(half, 44), Buffer.alloc(half, 105)]);
  let looks = 0;
  world.files.onCall = (name) => {
    if (name !== 'readSync' || ++looks < 8) return;
    world.files.onCall = null;
    page.words[5] = sumOf(written);
    stepped.saySums({ low: 9, high: 10 });
  };
  const rest = Buffer.alloc(half);
  reader.read(0, 5 * block + half, rest);
  t.ok(looks >= 8, 'it was not believed before');
  t.same(rest, Buffer.alloc(half, 105));
  // A flipped bit in it never fits, whoever waits; the step ends, and that shows.
  world.files.write(world.replica, [Buffer.from('rot')], 5 * block + half);
  world.files.onCall = (name) => {
    if (name !== 'readSync') return;
    world.files.onCall = null;
    stepped.end();
  };
  t.throws(() => reader.read(0, 5 * block + half, rest), rotten(5));
});

t.test('a failure while a step opens counts only when the new plan fails too', async (t) => {
  const world = new World();
  const { port1, port2 } = new MessageChannel();
  const counter = new SharedArrayBuffer(4);
  const content = { ...world.content(9, {}), live: { counter, port: port2 } };
  const reader = new ViewReader(content, { files: world.files });
  const { segment, table } = await world.undo(0, 9, 10, [[4, 77]]);
  // In the midst of the read of the replica the step opens, and the block of the disk fails.
  world.files.onCall = (name) => {
    if (name !== 'readSync') return;
    world.files.onCall = null;
    const plan = { ...content.plan, undo: [table], segments: [segment], counter: 1 };
    port1.postMessage({ plan } satisfies PlanMessage);
    Atomics.store(new Int32Array(counter), 0, 1);
    throw Object.assign(new Error('EIO: read'), { code: 'EIO' });
  };
  const one = Buffer.alloc(block);
  reader.read(0, 4 * block, one);
  t.same(one, fill(77));
  world.files.faults.failAt(1, 'EIO', ['readSync']);
  t.throws(() => reader.read(0, 5 * block, one), { code: 'EIO' });
  reader.close();
  port1.close();
});

t.test('a counter that is raised before its plan is posted is refused, not believed', (t) => {
  const world = new World();
  const { port1, port2 } = new MessageChannel();
  const counter = new SharedArrayBuffer(4);
  const content = { ...world.content(9, {}), live: { counter, port: port2 } };
  const reader = new ViewReader(content, { files: world.files });
  Atomics.store(new Int32Array(counter), 0, 1);
  t.throws(() => reader.read(0, 0, Buffer.alloc(10)), { code: 'bug' });
  t.throws(() => reader.refresh(), { code: 'bug' });
  port1.postMessage({ plan: { ...content.plan, counter: 1 } } satisfies PlanMessage);
  reader.refresh();
  reader.read(0, 0, Buffer.alloc(10));
  reader.close();
  port1.close();
  t.end();
});
