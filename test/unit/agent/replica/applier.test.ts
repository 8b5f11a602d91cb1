// Which step of apply comes next: to the end of a segment, to the target, or to a tag.
import t from 'tap';
import { nextStep } from '../../../../agent/replica/applier.ts';
import { GroupPlaces } from '../../../../core/segment-log/group-places.ts';
import type { Segment } from '../../../../core/segment-log/segment.ts';

const segment = (firstLsn: number, lastLsn: number): Segment => ({
  ordinal: 0,
  path: '',
  fd: -1,
  firstLsn,
  precededBy: firstLsn - 1,
  places: new GroupPlaces(),
  lastLsn,
  firstTime: 0,
  lastTime: 0,
  lastArrival: 0,
  bytes: 0,
  end: 0,
  recyclable: true,
  users: 0,
  retired: false,
});
const segments = [segment(1, 10), segment(11, 20)];
const stepTo = (cursorLsn: number, target: number, tags: number[] = []): number | null =>
  nextStep(
    segments,
    cursorLsn,
    target,
    tags.map((lsn) => ({ lsn })),
  )?.to ?? null;

t.test('a step ends with its segment, at the target, or at a tag', async (t) => {
  t.equal(stepTo(0, 20), 10);
  t.equal(stepTo(10, 20), 20);
  t.equal(stepTo(0, 4), 4);
  t.equal(stepTo(0, 20, [3, 15]), 3);
  t.equal(stepTo(3, 20, [3, 15]), 10);
  t.equal(stepTo(10, 20, [3, 15]), 15);
});

t.test('there is no step beyond the target, or over redo that is not there', async (t) => {
  t.equal(stepTo(20, 20), null);
  t.equal(stepTo(20, 30), null);
  t.equal(nextStep([segment(5, 10)], 2, 10, []), null);
});
