// The retention policy as a table: what there is, and how much redo is not wanted any more.
import t from 'tap';
import {
  outsideGaps,
  unwantedUpTo,
  type GapFacts,
  type RedoFacts,
} from '../../../../agent/retention/policy.ts';

const hour = 3600 * 1e6;
const now = 1000 * hour;

/**
 * Three sealed segments of 64 bytes, ten records each, sealed 30, 20 and 10 hours ago; a fourth is being
 * written.
 */
function facts(change: Partial<RedoFacts> = {}): RedoFacts {
  const sealed = [30, 20, 10].map((age, index) => ({
    lastLsn: (index + 1) * 10,
    lastTime: now - age * hour,
    lastArrival: now - age * hour,
    bytes: 64,
  }));
  return { sealed, bytes: 256, cursorLsn: 0, durableLsn: 35, firstPoint: 0, leastShownLsn: null, ...change };
}

const day = { windowMs: 24 * 3600e3, windowMaxBytes: 0 };

t.test('redo goes when all of a segment is older than the window', async (t) => {
  t.equal(unwantedUpTo(facts(), day, now), 10);
  t.equal(unwantedUpTo(facts(), { ...day, windowMs: 15 * 3600e3 }, now), 20);
  t.equal(unwantedUpTo(facts(), { ...day, windowMs: 48 * 3600e3 }, now), 0);
});

t.test('what came within the window stays, whatever the clock of its source says', async (t) => {
  const late = facts().sealed.map((segment) => ({ ...segment, lastTime: segment.lastTime - 900 * hour }));
  t.equal(unwantedUpTo(facts({ sealed: late }), day, now), 10);
  const ahead = facts().sealed.map((segment) => ({ ...segment, lastTime: segment.lastTime + 900 * hour }));
  t.equal(unwantedUpTo(facts({ sealed: ahead }), day, now), 10, 'and no longer');
});

t.test('redo goes, oldest first, while there is more than the window may take', async (t) => {
  const wide = { windowMs: 1000 * 3600e3, windowMaxBytes: 192 };
  t.equal(unwantedUpTo(facts(), wide, now), 10);
  t.equal(unwantedUpTo(facts(), { ...wide, windowMaxBytes: 100 }, now), 30);
  t.equal(unwantedUpTo(facts(), { ...wide, windowMaxBytes: 256 }, now), 0);
});

t.test('what an open view shows, and what is not durable, stays', async (t) => {
  const none = { windowMs: 1000, windowMaxBytes: 0 };
  t.equal(unwantedUpTo(facts(), none, now), 30);
  t.equal(unwantedUpTo(facts({ leastShownLsn: 25 }), none, now), 20);
  t.equal(
    unwantedUpTo(facts({ leastShownLsn: 20 }), none, now),
    20,
    'a view at a boundary needs nothing below it',
  );
  t.equal(unwantedUpTo(facts({ leastShownLsn: 9 }), none, now), 0);
  t.equal(unwantedUpTo(facts({ durableLsn: 15 }), none, now), 10);
});

t.test('a first copy keeps redo only until it is applied', async (t) => {
  t.equal(unwantedUpTo(facts({ firstPoint: null }), day, now), 30);
  t.equal(unwantedUpTo(facts({ firstPoint: 20 }), { ...day, windowMs: 1000 * 3600e3 }, now), 20);
});

t.test('the cursor never goes back', async (t) => {
  t.equal(unwantedUpTo(facts({ cursorLsn: 12, sealed: [] }), day, now), 12);
});

t.test('the cursor does not rest in a gap, and stays before one that is open', async (t) => {
  const at = (target: number, change: Partial<GapFacts> = {}): number =>
    outsideGaps(target, { cursorLsn: 5, firstPoint: 3, bound: 100, gaps: [], sync: null, ...change });
  const closed = [{ from: 20, to: 30 }];
  const open = [{ from: 20, to: null }];
  t.equal(at(10), 10);
  t.equal(at(25, { gaps: closed }), 30, 'to its end');
  t.equal(at(25, { gaps: closed, bound: 29 }), 19, 'or before it, where its end may not be applied');
  t.equal(at(25, { gaps: closed, bound: 29, cursorLsn: 22 }), 25, 'one that is inside goes on');
  t.equal(at(40, { gaps: closed }), 40);
  t.equal(at(25, { gaps: open }), 19);
  t.equal(
    at(25, { gaps: [{ from: 1, to: null }], firstPoint: null }),
    25,
    'a first copy has no points to keep',
  );
  const sync = { before: 12, checksums: true };
  t.equal(at(25, { gaps: [{ from: 1, to: null }], firstPoint: null, sync }), 12, 'but for what is compared');
  t.equal(at(25, { gaps: open, sync, cursorLsn: 19 }), 19, 'and it never goes back');
});
