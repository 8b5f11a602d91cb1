// A filling volume as a table: who gives how much, who may go on writing, and whether all floors fit.
import t from 'tap';
import { WriteRates } from '../../../../agent/retention/write-rates.ts';
import { forecastSpace, spellForecast } from '../../../../agent/retention/forecast.ts';
import {
  floorBytes,
  planSpace,
  protectFits,
  refuseUnfit,
  type SpaceUse,
} from '../../../../agent/retention/space.ts';
import { GiB } from '../../../../core/units.ts';

const use = (id: string, bytes: number, change: Partial<SpaceUse> = {}): SpaceUse => ({
  id,
  bytes,
  heldBytes: 0,
  floorBytes: 0,
  bytesPerMinute: 0,
  ...change,
});
const volume = (freeBytes: number) => ({ totalBytes: 1000, freeBytes, reserveBytes: 100 });
const given = (freeBytes: number, uses: SpaceUse[]): number[] =>
  planSpace(volume(freeBytes), uses, 'shorten').map((order) => order.freeBytes);
const accepts = (freeBytes: number, uses: SpaceUse[]): boolean[] =>
  planSpace(volume(freeBytes), uses, 'shorten').map(({ accept }) => accept);

t.test('with room nobody gives anything; ahead of time, who has most gives first', async (t) => {
  t.same(given(200, [use('a', 600), use('b', 200)]), [0, 0]);
  t.same(given(40, [use('a', 600), use('b', 200)]), [60, 0]);
  t.same(given(100, [use('a', 600, { bytesPerMinute: 2 }), use('b', 200)]), [30, 0], 'for 15 minutes');
  t.same(given(0, [use('a', 220), use('b', 200)]), [60, 40], 'down to one level');
  t.same(planSpace(volume(0), [use('a', 900)], 'stop'), [{ id: 'a', freeBytes: 0, accept: false }]);
});

t.test("one machine's churn takes nothing of another's floor", async (t) => {
  const quiet = use('quiet', 50, { heldBytes: 50, floorBytes: 50 });
  t.same(given(0, [use('churn', 850), quiet]), [100, 0]);
  t.same(given(0, [use('churn', 850, { heldBytes: 840 }), quiet]), [10, 0], 'nor does its own go');
  const young = use('young', 10, { heldBytes: 10, floorBytes: 60 });
  const churn = use('churn', 790, { heldBytes: 790, floorBytes: 5000 });
  t.same(accepts(150, [churn, young]), [false, true], 'what the other still needs is left for it');
  t.same(accepts(151, [churn, young]), [true, true]);
  t.same(accepts(100, [churn, young]), [false, false], 'nobody writes into the reserve');
  t.same(given(110, [use('churn', 790), young]), [40, 0], 'and is made in time where that is possible');
});

t.test('floors are reckoned from the write rate, and protection beyond the volume is refused', async (t) => {
  const facts = { floorMs: 4 * 3600e3, maxBytes: 0, bytesPerMinute: 1000, diskBytes: 1e12 };
  t.equal(floorBytes(facts), 240 * 1000 * 2, 'redo and undo');
  t.equal(floorBytes({ ...facts, maxBytes: 1000 }), 1000);
  t.equal(floorBytes({ ...facts, bytesPerMinute: 0 }), 0);
  const likely = floorBytes({ ...facts, bytesPerMinute: null });
  t.ok(likely > 0 && likely < 2 * GiB, 'unknown is neither nothing nor all of a huge sparse disk');
  t.same(protectFits([30, 40], 20, 100), { fits: true, needBytes: 90, volumeBytes: 100 });
  refuseUnfit('web', protectFits([30, 40], 30, 100));
  t.throws(() => refuseUnfit('web', protectFits([3 * GiB, GiB], GiB, 4 * GiB)), {
    code: 'volume-too-small',
    message: /all machines with web, and the reserve, take 5 GiB; the retention volume has 4 GiB/,
  });
});

const minute = 60e6;
const now = Date.parse('2026-01-31T00:00:00Z') * 1000;

/** A machine that wrote `before` bytes in each past minute and writes `rate` from now on. */
const machine = (rate: number, before = rate, hours = 24) => ({
  id: `m${rate}`,
  windowMs: hours * 3600e3,
  bytesPerMinute: rate,
  bytesSince: (time: number) => ((now - time) / minute) * before,
  footprint: 2,
});

t.test('the forecast names the time at which the window does not fit any more', async (t) => {
  const capacityBytes = 24 * 60 * 10 * 2;
  t.same(forecastSpace({ machines: [machine(10)], capacityBytes, now }), {
    hours: 24,
    fallsUnderAt: null,
    machine: null,
    sustainedHours: 24,
  });
  // 20 a minute come and 10 go: what fits holds 1440 * 10 more, so 12 hours from now with half as much again.
  const forecast = forecastSpace({ machines: [machine(20, 10)], capacityBytes: capacityBytes * 1.5, now });
  t.equal((forecast.fallsUnderAt ?? 0) - now, (12 * 60 + 1) * minute);
  t.equal(forecast.machine, 'm20');
  t.equal(forecast.sustainedHours, 18);
  t.equal(spellForecast(forecast, now), 'history falls under 24 h at 2026-01-31T12:01:00Z');
  const already = forecastSpace({ machines: [machine(20)], capacityBytes, now });
  t.equal(spellForecast(already, now), 'history is under 24 h already');
  t.equal(spellForecast(forecastSpace({ machines: [], capacityBytes: 0, now }), now), null);
  const two = forecastSpace({ machines: [machine(5), machine(20, 10, 12)], capacityBytes, now });
  t.ok(two.fallsUnderAt !== null && two.machine === 'm20');
});

t.test('write rates are counted by the minute, and forgotten', async (t) => {
  const rates = new WriteRates(60);
  t.equal(rates.bytesPerMinute(now), 0);
  rates.note(now, 100, 2);
  rates.note(now + 1, 50);
  rates.noteFlush(now + minute);
  rates.note(now + 3 * minute, 30);
  t.same(rates.list(), [
    { time: now, bytes: 150, records: 3, flushes: 0 },
    { time: now + minute, bytes: 0, records: 0, flushes: 1 },
    { time: now + 3 * minute, bytes: 30, records: 1, flushes: 0 },
  ]);
  t.equal(rates.bytesSince(now + minute), 30);
  t.equal(rates.bytesPerMinute(now + 4 * minute), 45, 'of the time that is known');
  t.equal(rates.bytesPerMinute(now + 60 * minute), 3);
  t.equal(rates.knownMinutes(now + 4 * minute), 4);
  rates.note(now + 61 * minute, 1);
  rates.note(now, 7);
  t.same(
    rates.list().map(({ bytes }) => bytes),
    [30, 1],
  );
});
