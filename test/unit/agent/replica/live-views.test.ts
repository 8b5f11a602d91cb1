// A new plan reaches every open view or none: what is read by an older one than the newest is not believed.
import t from 'tap';
import { LiveViews, type HeldPlan } from '../../../../agent/replica/live-views.ts';
import type { HeldContent, ViewPlan } from '../../../../agent/replica/view-content.ts';
import { PlanFeed } from '../../../../agent/replica/view-feed.ts';
import { machineMark } from '../../../../core/record/record.ts';

const floor = { segment: 0, lsnDelta: -1 };

/** Plans of one view, numbered in `floor`; each says when it is let go. */
class Planner {
  made = 0;
  isBroken = false;
  readonly released: number[] = [];

  readonly plan = (): HeldPlan => {
    if (this.isBroken) throw new Error('there are too many open files');
    const number = ++this.made;
    const plan = { redo: [], floor: { ...floor, segment: number }, undo: [], segments: [], unknown: [] };
    return { plan, release: () => void this.released.push(number) };
  };
}

function hold(live: LiveViews, planner: Planner): HeldContent {
  const content = { mark: machineMark(Buffer.alloc(16)), machine: Buffer.alloc(16), lsn: 5, disks: [] };
  return live.hold(content, planner.plan);
}

const feedOf = ({ content }: HeldContent): PlanFeed => new PlanFeed(content.plan, content.live);
const numberOf = ({ floor: { segment } }: ViewPlan): number => segment;

t.test('when one view gets no plan, no other goes on with that of a step that did not open', (t) => {
  const live = new LiveViews();
  const [one, other] = [new Planner(), new Planner()];
  const held = [hold(live, one), hold(live, other)];
  const feed = feedOf(held[0]!);
  other.isBroken = true;
  t.throws(() => live.stepOpens(), /too many open files/);
  t.equal(feed.take(), 'none', 'the plan it has holds');
  other.isBroken = false;
  live.stepOpens();
  t.equal(feed.take(), 'replaced');
  t.equal(numberOf(feed.plan), one.made, 'it reads by what was planned when the step did open');
  feed.acknowledge();
  live.stepEnded(6);
  t.equal(feed.take(), 'ended');
  t.notOk(one.released.includes(numberOf(feed.plan)), 'and what that refers to is held');
  feed.close();
  for (const { release } of held) release();
  t.same(
    [one, other].map(({ made, released }) => [...released].sort((a, b) => a - b).length === made),
    [true, true],
    'in the end everything is let go, once',
  );
  t.end();
});
