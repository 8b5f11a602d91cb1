// Checks what a view reads from: redo above the floor, undo, the replica; scans instead of damaged tables,
// and unknown content.
import { MessageChannel } from 'node:worker_threads';
import t from 'tap';
import type { PlanMessage } from '../../../../agent/replica/view-content.ts';
import { ViewReader } from '../../../../agent/replica/view-reader.ts';
import type { LayerSource } from '../../../../agent/replica/undo/undo-step.ts';
import { createLog } from '../../../../core/log.ts';
import { recordHeaderBytes } from '../../../../core/record/record.ts';
import { groupHeaderBytes } from '../../../../core/segment-log/group.ts';
import { block, fill, size, World } from './view-world.ts';

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
