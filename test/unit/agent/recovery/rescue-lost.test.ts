// Rescue without the cursor, without a replica, or both: what redo and undo tell is there, byte for byte, and
// nothing else is.
import fs from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { writeCursor } from '../../../../agent/replica/cursor.ts';
import { writeMachineFile } from '../../../../agent/replica/machine-file.ts';
import { ViewReader } from '../../../../agent/replica/view-reader.ts';
import { RescueClient } from '../../../../agent/recovery/rescue/client.ts';
import { RescuedMachine } from '../../../../agent/recovery/rescue/rescued-machine.ts';
import { readOnlyFiles } from '../../../../agent/recovery/rescue-files.ts';
import { HomewardError } from '../../../../core/errors.ts';
import { temporaryDirectory } from '../../../support/temporary.ts';
import {
  blockBytes,
  blocks,
  cursorLsn,
  diskAt,
  id,
  lastLsn,
  makeHistory,
  type SmallHistory,
} from './small-history.ts';

/** Steps end here; redo below the second is gone in a history that was pruned. */
const boundaries = [0, 10, cursorLsn];
const prunedTo = 10;

/** A history that nobody has open. */
async function bareHistory(
  t: Test,
  change: (history: SmallHistory) => void = () => {},
): Promise<SmallHistory> {
  const history = await makeHistory(temporaryDirectory(t));
  change(history);
  for (const { fd } of history.segments) fs.closeSync(fd);
  await history.ledger.settle();
  await history.ledger.close();
  return history;
}

/** Redo of the older step is gone, as a daemon leaves it. The segment that both are in stays. */
function prune({ paths, cursor, segments, ledger }: SmallHistory): void {
  writeCursor(paths.cursorFile, { ...cursor, pruned: prunedTo });
  ledger.append({ event: 'pruned', from: 0, to: prunedTo });
  fs.unlinkSync(segments[0]?.path ?? '');
}

const blockOf = (lsn: number): number => (lsn * 7) % 24;

/** Blocks that records in (from, to] wrote. */
function written(from: number, to: number): Set<number> {
  const lsns = Array.from({ length: Math.max(to - from, 0) }, (_, at) => from + 1 + at);
  return new Set(lsns.map(blockOf));
}

/** Blocks at `lsn` that redo or undo of a pruned history tell of; before the first record all were blank. */
function told(lsn: number): Set<number> {
  if (lsn === 0) return new Set(Array.from({ length: blocks }, (_, block) => block));
  const base = boundaries.findLast((boundary) => boundary <= lsn) ?? 0;
  return new Set([...written(prunedTo, lsn), ...written(base, cursorLsn)]);
}

/** Which blocks can be read at `lsn`; none may be other than it was. */
function readable(t: Test, machine: RescuedMachine, lsn: number): Set<number> {
  const reader = new ViewReader(machine.hold(lsn).content, { files: readOnlyFiles });
  const expected = diskAt(lsn);
  const found = new Set<number>();
  for (let block = 0; block < blocks; block++) {
    const content = Buffer.alloc(blockBytes);
    try {
      reader.read(0, block * blockBytes, content);
    } catch (error) {
      if (!(error instanceof HomewardError) || error.code !== 'damaged') throw error;
      continue;
    }
    found.add(block);
    if (!content.equals(expected.subarray(block * blockBytes, (block + 1) * blockBytes)))
      t.fail(`lsn:${lsn}, block ${block}: other bytes than were written`);
  }
  return found;
}

/** Every moment that is offered, and how many blocks of it can be read. */
function eachMoment(t: Test, machine: RescuedMachine, see: (lsn: number, found: Set<number>) => void): void {
  const dense = machine.denseLsn ?? Infinity;
  for (const { lsn } of machine.kept) see(lsn, readable(t, machine, lsn));
  for (let lsn = dense; lsn <= machine.durableLsn; lsn++) see(lsn, readable(t, machine, lsn));
}

const sorted = (set: Set<number>): number[] => [...set].toSorted((a, b) => a - b);

for (const [name, isLost] of [
  ['without the replica', false],
  ['without the cursor', true],
] as const)
  t.test(`${name}, of a pruned history just what redo and undo tell is there`, async (t) => {
    const history = await bareHistory(t, prune);
    if (isLost) fs.rmSync(history.paths.cursorFile);
    const machine = new RescuedMachine(history.retention, id, isLost ? history.replicas : null);
    const moments: number[] = [];
    eachMoment(t, machine, (lsn, found) => {
      moments.push(lsn);
      t.same(sorted(found), sorted(told(lsn)), `lsn:${lsn}`);
    });
    t.same(moments, [0, ...Array.from({ length: lastLsn - prunedTo + 1 }, (_, at) => prunedTo + at)]);
    machine.close();
  });

t.test('without the cursor no byte of a replica is shown, whatever it holds', async (t) => {
  for (const change of [() => {}, prune]) {
    const history = await bareHistory(t, change);
    fs.rmSync(history.paths.cursorFile);
    fs.writeFileSync(history.replica, Buffer.alloc(blocks * blockBytes, 'half way'));
    const machine = new RescuedMachine(history.retention, id, history.replicas);
    t.match(machine.disks, [{ missing: /not used without the cursor/ }]);
    let read = 0;
    eachMoment(t, machine, (_lsn, found) => (read += found.size));
    t.ok(read > 0);
    machine.close();
  }
});

t.test('without the cursor the newest undo, the ledger or both may be gone, too', async (t) => {
  const losses: Record<string, (history: SmallHistory) => void> = {
    'the newest undo': ({ steps }) => fs.rmSync(steps[1]?.path ?? ''),
    'the ledger': ({ paths }) => fs.rmSync(paths.ledger),
    'all undo and the ledger': ({ paths }) => {
      fs.rmSync(paths.ledger);
      fs.rmSync(paths.undo, { recursive: true });
    },
    'the middle of redo': ({ segments }) => fs.rmSync(segments[1]?.path ?? ''),
  };
  for (const [name, lose] of Object.entries(losses))
    for (const change of [() => {}, prune]) {
      const history = await bareHistory(t, change);
      fs.rmSync(history.paths.cursorFile);
      lose(history);
      const machine = new RescuedMachine(history.retention, id, history.replicas);
      t.equal(machine.durableLsn, lastLsn, name);
      let last = 0;
      eachMoment(t, machine, (lsn, found) => {
        if (lsn === lastLsn) last = found.size;
      });
      const isWhole = change !== prune && name !== 'the middle of redo';
      if (isWhole) t.equal(last, blocks, `${name}: all of the newest moment`);
      else t.ok(last > 0 && last < blocks, `${name}: ${last} blocks of the newest moment`);
      machine.close();
      const [found] = new RescueClient({ retention: history.retention, replicas: null }).list();
      const isSaid = name === 'the middle of redo' ? /by ledger and undo/ : /redo, undo and ledger tell/;
      t.match(
        found?.damaged.find(({ file }) => file === history.paths.cursorFile),
        { what: isSaid },
      );
    }
});

t.test('nothing counts as zeros that may have been a copy', async (t) => {
  for (const change of [
    { path: 'chain' as const },
    { seeded: ['root'] },
    { before: [{ lsn: 5, disks: [{ name: 'root', size: blockBytes }] }] },
  ]) {
    const history = await bareHistory(t);
    writeMachineFile(history.paths.machineFile, { ...history.file, ...change });
    const machine = new RescuedMachine(history.retention, id, null);
    t.same(sorted(readable(t, machine, lastLsn)), sorted(written(0, lastLsn)), Object.keys(change).join());
    machine.close();
  }
  const history = await bareHistory(t);
  writeCursor(history.paths.cursorFile, { ...history.cursor, firstPoint: 12 });
  const machine = new RescuedMachine(history.retention, id, null);
  t.same(sorted(readable(t, machine, lastLsn)), sorted(written(0, lastLsn)), 'a first copy');
  machine.close();
});

t.test('what the replica lost is had from redo, and the rest of it is still read', async (t) => {
  const history = await bareHistory(t, ({ paths, cursor }) => {
    const [lost, unwritten] = [blockOf(3) * blockBytes, 30 * blockBytes];
    const unknown: [number, number][] = [lost, unwritten].map((at) => [at, at + blockBytes]);
    unknown.sort((one, other) => one[0] - other[0]);
    writeCursor(paths.cursorFile, { ...cursor, pruned: prunedTo, firstPoint: 0, unknown });
  });
  const machine = new RescuedMachine(history.retention, id, history.replicas);
  const found = readable(t, machine, lastLsn);
  t.equal(found.has(30), false, 'nobody wrote it while redo was kept');
  t.equal(found.has(blockOf(3)), written(prunedTo, lastLsn).has(blockOf(3)));
  t.equal(found.size, blocks - 1 - (found.has(blockOf(3)) ? 0 : 1));
  machine.close();
});

t.test('a recovery that lacks a replica names what nothing tells', async (t) => {
  const history = await bareHistory(t, prune);
  const client = new RescueClient({ retention: history.retention, replicas: null });
  const target = { kind: 'raw', directory: join(history.replicas, 'out') } as const;
  const request = { machine: 'web', at: 'lsn:15', target, overwrite: [] };
  const missing = blocks - told(15).size;
  await t.rejects(
    client.recover(request, () => undefined, new AbortController().signal),
    {
      code: 'damaged',
      message: new RegExp(`^${missing * blockBytes} bytes at lsn:15 are unknown`),
      hint: /Neither redo nor undo tells of them/,
    },
  );
});
