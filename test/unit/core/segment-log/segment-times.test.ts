// Stamps found near a place in a segment are those that reading all of it finds.
import t from 'tap';
import { lsnNear, stampNear } from '../../../../core/segment-log/segment-times.ts';
import { machineMark } from '../../../../core/record/record.ts';
import type { Segment } from '../../../../core/segment-log/segment.ts';
import { frozenTimers, LogDriver, machine } from '../../../fault/log-driver.ts';
import { chooseSeed, seededRandom } from '../../../support/random.ts';

t.before(() => frozenTimers(t));

const mark = machineMark(machine);

t.test('every record of every segment, and every moment between', async (t) => {
  const random = seededRandom(chooseSeed(t));
  const driver = new LogDriver();
  await driver.open();
  for (let step = 0; step < 60; step++) {
    driver.append(...Array.from({ length: 1 + random.below(5) }, () => random.pick([1, 100, 700, 70_000])));
    if (random.chance(0.5)) await driver.commit();
    if (random.chance(0.1)) await driver.wait(1000);
    if (random.chance(0.1)) driver.roll();
  }
  const source = { files: driver.files, machine, mark };
  const segments = driver.log?.segments.filter(({ lastLsn, firstLsn }) => lastLsn >= firstLsn) ?? [];
  t.ok(segments.length > 5);
  for (const segment of segments) {
    for (let { firstLsn: lsn } = segment; lsn <= segment.lastLsn; lsn++) {
      const { time } = driver.attempted.get(lsn)?.header ?? { time: -1 };
      if (stampNear(source, segment, lsn) !== time) t.fail(`the stamp of ${lsn}`);
      if (lsnNear(source, segment, time) !== lsn) t.fail(`what was stamped at that of ${lsn}`);
    }
    t.equal(lsnNear(source, segment, segment.lastTime + 5), segment.lastLsn);
  }
});

t.test('damage on the way is not passed over', async (t) => {
  const driver = new LogDriver();
  await driver.open();
  driver.append(100, 100, 100);
  await driver.commit();
  const [segment] = driver.log?.segments ?? [];
  const source = { files: driver.files, machine, mark };
  driver.files.write((segment as Segment).fd, [Buffer.alloc(64)], 96 + 164);
  t.equal(stampNear(source, segment as Segment, 1), driver.attempted.get(1)?.header.time);
  t.equal(stampNear(source, segment as Segment, 3), null);
  t.equal(lsnNear(source, segment as Segment, (segment as Segment).lastTime), null);
});
