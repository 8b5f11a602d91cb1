// A view whose replica another thread moves on: not one byte is other than at the moment of the view.
import fs from 'node:fs';
import path from 'node:path';
import { MessageChannel, Worker } from 'node:worker_threads';
import t, { type Test } from 'tap';
import { KiB } from '../../core/units.ts';
import { machineMark } from '../../core/record/record.ts';
import { ViewReader } from '../../agent/replica/view-reader.ts';
import type { ViewContent } from '../../agent/replica/view-content.ts';
import { sharedAt, type WriterJob } from '../support/live-view-writer.ts';
import { chooseSeed, seededRandom, type Random } from '../support/random.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const size = 512 * KiB;
const machine = Buffer.from('00112233445566778899aabbccddeeff', 'hex');
const workerFile = new URL('../support/live-view-writer.ts', import.meta.url);

interface Wrong {
  reads: number;
  wrongBytes: number;
  wrongExtents: number;
}

/** Opens a view in each round and reads it while the writer goes through the steps of the round. */
async function run(t: Test, { rounds, late }: { rounds: number; late: boolean }): Promise<Wrong> {
  const seed = chooseSeed(t);
  const random = seededRandom(seed);
  const directory = temporaryDirectory(t);
  const replica = path.join(directory, 'replica');
  fs.writeFileSync(replica, random.bytes(size / 2));
  fs.truncateSync(replica, size);
  const shared = new SharedArrayBuffer(12);
  const state = new Int32Array(shared);
  const job: WriterJob = { directory, replica, size, machine, seed, stepsPerRound: 50, shared, late };
  const worker = new Worker(workerFile, { workerData: job });
  const fd = fs.openSync(replica, 'r');
  t.teardown(async () => {
    await worker.terminate();
    fs.closeSync(fd);
  });
  const wrong: Wrong = { reads: 0, wrongBytes: 0, wrongExtents: 0 };
  for (let round = 0; round < rounds; round++) {
    const expected = fs.readFileSync(replica);
    const { port1, port2 } = new MessageChannel();
    const content: ViewContent = {
      mark: machineMark(machine),
      machine,
      lsn: 1,
      disks: [{ name: 'root', size, fd, sparse: true, sums: null }],
      plan: {
        counter: Atomics.load(state, sharedAt.counter),
        redo: [],
        floor: { segment: 0, lsnDelta: -1 },
        undo: [],
        segments: [],
        unknown: [],
      },
      live: { counter: shared, port: port2 },
    };
    const reader = new ViewReader(content);
    worker.postMessage(port1, [port1]);
    while (Atomics.load(state, sharedAt.rounds) <= round) {
      look(reader, expected, random, wrong);
      Atomics.add(state, sharedAt.reads, 1);
      Atomics.notify(state, sharedAt.reads);
    }
    look(reader, expected, random, wrong);
    reader.close();
    if (late && wrong.wrongBytes > 0) break;
  }
  return wrong;
}

/** One read, and what is said of holes. */
function look(reader: ViewReader, expected: Buffer, random: Random, wrong: Wrong): void {
  const offset = random.chance(0.1) ? 0 : random.below(size);
  const length = offset === 0 ? size : 1 + random.below(Math.min(size - offset, 64 * KiB));
  const target = Buffer.alloc(length, 0xee);
  reader.read(0, offset, target);
  wrong.reads += 1;
  if (!target.equals(expected.subarray(offset, offset + length))) wrong.wrongBytes += 1;
  let at = offset;
  for (const extent of reader.extents(0, offset, length)) {
    const part = expected.subarray(at, at + extent.length);
    if (extent.zero && part.some((byte) => byte !== 0)) wrong.wrongExtents += 1;
    at += extent.length;
  }
  if (at !== offset + length) wrong.wrongExtents += 1;
}

t.test('a view reads the same bytes and holes through thousands of steps under it', async (t) => {
  const { reads, wrongBytes, wrongExtents } = await run(t, { rounds: 45, late: false });
  t.comment(`${reads} reads`);
  t.equal(wrongBytes, 0);
  t.equal(wrongExtents, 0);
});

t.test('a counter that is raised after the replica was written would be seen here', async (t) => {
  const { wrongBytes } = await run(t, { rounds: 60, late: true });
  t.not(wrongBytes, 0);
});
