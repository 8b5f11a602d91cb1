// A cursor that is on its way back to its pin needs redo for it, which stays; where it is gone that is said.
import t from 'tap';
import { recoverInPlace, type InPlace } from '../../../../agent/recovery/in-place.ts';
import { retain, type Retained } from '../../../../agent/retention/retain.ts';
import type { Clock } from '../../../../core/clock.ts';
import { silentLog } from '../../../../core/log.ts';
import { MiB, microseconds } from '../../../../core/units.ts';

const day = 24 * 3600e6;
const now = 100 * day;

interface Played {
  machine: Retained;
  cursor: { lsn: number; pruned: number; pin: number | null };
}

/** Steps of ten records each, all of them older than anybody wants, one segment for each. */
function played(pin: number | null): Played {
  const cursor = { lsn: 60, pruned: 0, pin, firstPoint: 0, time: day, stepTo: null };
  const steps = [0, 10, 20, 30, 40, 50].map((from) => ({
    ...{ from, to: from + 10, fromTime: day, toTime: day, bytes: MiB, tag: null, point: true },
    ...{ path: `${from}`, identity: `${from}` },
  }));
  const segments = [...steps, { from: 60, to: 70 }].map(({ from, to }) => ({
    ...{ firstLsn: from + 1, lastLsn: to, firstTime: day, lastTime: day, lastArrival: day },
    bytes: MiB,
  }));
  const timeline = {
    open: null,
    base: (lsn: number) => lsn,
    dropBelow: () => Promise.resolve(0),
    merge: () => Promise.resolve(),
    prune: (to: number) => {
      cursor.pruned = Math.max(cursor.pruned, to);
      return Promise.resolve(1);
    },
  };
  const catalogue = { gaps: [], tags: [], sync: null, gapAt: () => null };
  const journal = { segments, catalogue, redoBytes: 7 * MiB, lsnAtTime: () => 0 };
  const history = { timeline, undo: { steps, bytes: 6 * MiB }, shownLsns: [] };
  const ledger = { expected: () => ({ redo: new Map(), undo: new Map() }) };
  const machine = { journal, cursor, history, ledger, timeOf: () => day };
  return { machine: machine as unknown as Retained, cursor };
}

const policy = { windowMs: 3600e3, maxBytes: 0, floorMs: 60e3, keep: {} };
const demand = { locks: () => [], freeBytes: 0, roomBytes: 0, scarceRoomBytes: 0, now };

t.test('redo above the pin stays while the cursor goes back', async (t) => {
  const free = played(null);
  await retain(free.machine, policy, demand);
  t.equal(free.cursor.pruned, 60, 'all of it is old');
  for (const pin of [30, 34]) {
    const { machine, cursor } = played(pin);
    await retain(machine, policy, { ...demand, freeBytes: 100 * MiB });
    t.equal(cursor.pruned, 30, `pinned at lsn:${pin}`);
  }
});

t.test('a pin that cannot be reached any more is taken away, and who waits hears of it', async (t) => {
  const { machine, cursor } = played(null);
  cursor.pruned = 40;
  let looks = 0;
  const inPlace = {
    machine: {
      ...{ ...machine, id: 'w', name: 'web', cursor, file: { disks: [] } },
      moveCursor: (change: object) => Object.assign(cursor, change),
    },
    plan: { machine: 'web', lsn: 34, time: null, asked: null, disks: [] },
    keeper: {
      wake: () => {
        if (++looks > 9) throw new Error('it goes round in circles');
      },
      settled: () => Promise.resolve(),
      problemOf: () => null,
    },
    clock: { now: () => microseconds(now), monotonicMs: () => 0 } satisfies Clock,
    ...{ log: silentLog, progress: () => undefined, signal: new AbortController().signal },
  } as unknown as InPlace;
  await t.rejects(recoverInPlace(inPlace), { code: 'conflict' });
  t.equal(cursor.pin, null);
});
