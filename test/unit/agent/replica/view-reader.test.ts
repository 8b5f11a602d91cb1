// Checks what a view reads from: redo above the floor, undo, the replica; scans instead of damaged tables,
// checksums, unknown content, and what it takes from its port.
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import t, { type Test } from 'tap';
import {
  firstUndoOrdinal,
  type PlanMessage,
  type ViewContent,
  type ViewPlan,
  type ViewSegment,
} from '../../../../agent/replica/view-content.ts';
import { openSums, Rest, sumOf, SumsPage } from '../../../../agent/replica/replica-sums.ts';
import { ViewReader } from '../../../../agent/replica/view-reader.ts';
import type { LayerSource } from '../../../../agent/replica/undo/undo-step.ts';
import { UndoWriter } from '../../../../agent/replica/undo/undo-writer.ts';
import { ContentKind } from '../../../../core/extents/extent-columns.ts';
import { createLog } from '../../../../core/log.ts';
import { checkPayload } from '../../../../core/record/payload.ts';
import {
  encodeRecordHeader,
  machineMark,
  RecordKind,
  recordHeaderBytes,
} from '../../../../core/record/record.ts';
import { encodeGroupHeader, groupHeaderBytes } from '../../../../core/segment-log/group.ts';
import { SimulatedFiles } from '../../../support/simulated-files.ts';
import { crc32 } from 'node:zlib';

const block = 4096;
const size = 8 * block;
const machine = Buffer.from('00112233445566778899aabbccddeeff', 'hex');
const mark = machineMark(machine);
const fill = (value: number, blocks = 1): Buffer => Buffer.alloc(blocks * block, value);

interface Write {
  lsn: number;
  block: number;
  value: number;
}

/** Files of a machine whose replica has block n filled with 100 + n. */
class World {
  readonly files = new SimulatedFiles({ directories: ['/m/redo', '/m/undo', '/m/derived'] });
  readonly replica: number;

  constructor() {
    this.replica = this.files.create('/m/replica');
    for (let at = 0; at < 8; at++) this.files.write(this.replica, [fill(100 + at)], at * block);
  }

  /** One group of writes of a block each. */
  redo(ordinal: number, writes: readonly Write[]): ViewSegment {
    const path = `/m/redo/${ordinal}.seg`;
    const firstLsn = writes[0]!.lsn;
    const headers: Buffer[] = [];
    const body: Buffer[] = [];
    for (const { lsn, block: at, value } of writes) {
      const data = fill(value);
      const header = Buffer.alloc(recordHeaderBytes);
      encodeRecordHeader(
        header,
        0,
        {
          kind: RecordKind.write,
          flags: 0,
          disk: 0,
          lsn,
          offset: at * block,
          length: block,
          time: lsn,
          generation: 1,
          payloadBytes: block,
          payloadCrc: checkPayload(data).crc,
        },
        mark,
      );
      headers.push(header);
      body.push(header, data);
    }
    const frame = Buffer.alloc(groupHeaderBytes);
    const bodyBytes = body.reduce((sum, { length }) => sum + length, 0);
    encodeGroupHeader(frame, {
      machine,
      identity: Buffer.alloc(16, ordinal + 1),
      firstLsn,
      previousDurable: firstLsn - 1,
      arrival: 1,
      position: 0,
      records: writes.length,
      bodyBytes,
      headersCrc: crc32(Buffer.concat(headers)),
      skippedFrom: 0,
    });
    const fd = this.files.create(path);
    this.files.write(fd, [frame, ...body], 0);
    const end = groupHeaderBytes + bodyBytes;
    const lastLsn = writes.at(-1)!.lsn;
    return { ordinal, fd, path, firstLsn, precededBy: firstLsn - 1, lastLsn, end };
  }

  /** The old content of some blocks, or of as much of each: a value, null for zeros, 'unknown'. */
  async undo(
    n: number,
    from: number,
    to: number,
    old: readonly [number, number | null | 'unknown'][],
    length = block,
  ): Promise<{ segment: ViewSegment; table: Extract<LayerSource, { kind: 'file' }> }> {
    const path = `/m/undo/${n}.seg`;
    const tablePath = `/m/derived/${n}.table`;
    const note = { from, to, fromTime: 1, toTime: 2, tag: null, point: true };
    const writer = UndoWriter.begin(this.files, { path, machine, generation: 1, note, tablePath });
    for (const [at, value] of old) {
      if (value === null) writer.add(0, at * block, length, ContentKind.zero, null);
      else if (value === 'unknown') writer.add(0, at * block, length, ContentKind.unknown, null);
      else
        writer.add(0, at * block, length, ContentKind.data, (target) => {
          target.fill(value);
        });
    }
    const { bytes } = await writer.finish();
    const ordinal = firstUndoOrdinal + n;
    const fd = this.files.open(path);
    const segment = { ordinal, fd, path, firstLsn: from, precededBy: from, lastLsn: to, end: bytes };
    const table = {
      kind: 'file',
      path: tablePath,
      fd: this.files.open(tablePath),
      ordinals: [ordinal],
    } as const;
    return { segment, table: { ...table, ordinals: [...table.ordinals] } };
  }

  content(lsn: number, plan: Partial<ViewPlan>, sums: string | null = null): ViewContent {
    return {
      mark,
      machine,
      lsn,
      disks: [{ name: 'root', size, fd: this.replica, sparse: true, sums }],
      plan: {
        counter: 0,
        redo: [],
        floor: { segment: 0, lsnDelta: -1 },
        undo: [],
        segments: [],
        unknown: [],
        ...plan,
      },
      live: null,
    };
  }
}

/** The value of each block; null for one that does not read as one value. */
function values(reader: ViewReader): (number | null)[] {
  const bytes = Buffer.alloc(size, 0xee);
  reader.read(0, 0, bytes);
  return Array.from({ length: 8 }, (_, at) => {
    const one = bytes.subarray(at * block, (at + 1) * block);
    return one.equals(fill(one[0]!)) ? one[0]! : null;
  });
}

t.test('redo above the floor wins, then the oldest undo, then the replica', async (t) => {
  const world = new World();
  const early = world.redo(0, [
    { lsn: 11, block: 0, value: 1 },
    { lsn: 12, block: 1, value: 2 },
    { lsn: 13, block: 2, value: 3 },
  ]);
  const late = world.redo(1, [
    { lsn: 14, block: 1, value: 4 },
    { lsn: 15, block: 3, value: 5 },
  ]);
  const first = await world.undo(0, 11, 14, [
    [0, 50],
    [1, 51],
    [4, null],
  ]);
  const second = await world.undo(1, 14, 20, [
    [3, 52],
    [4, 53],
    [5, 54],
  ]);
  const plan = {
    // What is at or below 11 lies in the boundary at 11.
    floor: { segment: 0, lsnDelta: 0 },
    redo: [
      { kind: 'redo-scan', ordinal: 1, afterLsn: 13, lsn: 14 },
      { kind: 'redo-scan', ordinal: 0, afterLsn: 10, lsn: 13 },
    ] satisfies LayerSource[],
    undo: [first.table, { kind: 'undo-scan', ordinal: second.segment.ordinal }] satisfies LayerSource[],
    segments: [early, late, first.segment, second.segment],
  };
  const reader = new ViewReader(world.content(14, plan), { files: world.files });
  t.same(values(reader), [50, 4, 3, 52, 0, 54, 106, 107]);
  const piece = Buffer.alloc(100);
  reader.read(0, block - 50, piece);
  t.same(piece, Buffer.concat([Buffer.alloc(50, 50), Buffer.alloc(50, 4)]));
  t.same(reader.extents(0, 3 * block, 3 * block), [
    { length: block, hole: false, zero: false },
    { length: block, hole: true, zero: true },
    { length: block, hole: false, zero: false },
  ]);
});

t.test('a damaged table gives way to its segments, and the log says so once', async (t) => {
  for (const place of ['page', 'footer'] as const) {
    const world = new World();
    const lines: string[] = [];
    const log = createLog('warn', (line) => lines.push(line));
    const { segment, table } = await world.undo(0, 5, 9, [[2, 60]]);
    const tableSize = world.files.size(table.fd);
    const at = place === 'footer' ? tableSize - 4 : Math.floor(tableSize / 3);
    const byte = Buffer.alloc(1);
    world.files.readSync(table.fd, byte, at);
    world.files.write(table.fd, [Buffer.from([byte[0]! ^ 1])], at);
    const { port1, port2 } = new MessageChannel();
    const counter = new SharedArrayBuffer(4);
    const content = {
      ...world.content(5, { undo: [table], segments: [segment] }),
      live: { counter, port: port2 },
    };
    const reader = new ViewReader(content, { files: world.files, log });
    t.same(values(reader), [100, 101, 60, 103, 104, 105, 106, 107], place);
    port1.postMessage({ plan: { ...content.plan, counter: 1 } } satisfies PlanMessage);
    Atomics.store(new Int32Array(counter), 0, 1);
    t.same(values(reader), [100, 101, 60, 103, 104, 105, 106, 107], 'in the next plan too');
    t.equal(lines.filter((line) => line.includes('event=table-not-usable')).length, 1);
    reader.close();
    port1.close();
  }
});

t.test('what is unknown is an error that names the place, and data to block status', async (t) => {
  const world = new World();
  const { segment, table } = await world.undo(0, 5, 9, [[2, 'unknown']]);
  const plan = {
    undo: [table],
    segments: [segment],
    unknown: [[6 * block, 7 * block]] satisfies [number, number][],
  };
  const reader = new ViewReader(world.content(5, plan), { files: world.files });
  const one = Buffer.alloc(block);
  for (const at of [2, 6])
    t.throws(() => reader.read(0, at * block, one), {
      code: 'damaged',
      message: new RegExp(`bytes ${at * block} to ${(at + 1) * block} of disk root are unknown at lsn:5`),
    });
  reader.read(0, 5 * block, one);
  t.same(one, fill(105));
  t.same(reader.extents(0, 0, size), [{ length: size, hole: false, zero: false }]);
});

t.test('a segment that is damaged is an error, and the rest is there', async (t) => {
  const world = new World();
  const segment = world.redo(0, [
    { lsn: 11, block: 0, value: 1 },
    { lsn: 12, block: 1, value: 2 },
  ]);
  const redo: LayerSource[] = [{ kind: 'redo-scan', ordinal: 0, afterLsn: 10, lsn: 12 }];
  const reader = new ViewReader(world.content(12, { redo, segments: [segment] }), { files: world.files });
  values(reader);
  world.files.write(segment.fd, [Buffer.from('rot')], groupHeaderBytes + recordHeaderBytes + 20);
  const one = Buffer.alloc(block);
  t.throws(() => reader.read(0, 0, one), { code: 'damaged', message: /record 11 .*0\.seg/ });
  reader.read(0, block, one);
  t.same(one, fill(2));
});

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
  async open(old: readonly [number, number][], length = block): Promise<void> {
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

const rotten = (at: number): { code: string; message: string } => ({
  code: 'damaged',
  message: `bytes ${at * block} to ${(at + 1) * block} of the replica of disk root do not fit their checksums`,
});

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

t.test('what a step leaves of a block that it writes in part is believed when the block fits', async (t) => {
  const stepped = new Stepped(t);
  const { world, reader, page } = stepped;
  const half = block / 2;
  await stepped.open([[5, 105]], half);
  reader.read(0, 0, Buffer.alloc(block));
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
  const whole = Buffer.alloc(block);
  reader.read(0, 5 * block, whole);
  t.ok(looks >= 8, 'it was not believed before');
  t.same(whole, fill(105));
  // A flipped bit in the half that the step leaves alone never fits, whoever waits; it ends, and that shows.
  world.files.write(world.replica, [Buffer.from('rot')], 5 * block + half);
  world.files.onCall = (name) => {
    if (name !== 'readSync') return;
    world.files.onCall = null;
    stepped.end();
  };
  t.throws(() => reader.read(0, 5 * block, whole), rotten(5));
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
