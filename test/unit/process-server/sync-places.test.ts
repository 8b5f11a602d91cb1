// Places among those that sync at a time.
import t from 'tap';
import { SyncPlaces } from '../../../process-server/sync-places.ts';

const asker = (): { told: number[]; ahead(count: number): void } => {
  const told: number[] = [];
  return { told, ahead: (count) => told.push(count) };
};

t.test(
  'places go in the order in which they were asked for, and who waits hears of each change',
  async (t) => {
    const places = new SyncPlaces(2);
    const all = [asker(), asker(), asker(), asker()] as const;
    for (const one of all) places.want(one);
    t.same(
      all.map(({ told }) => told),
      [[0], [0], [1], [2]],
    );
    places.leave(all[1]);
    t.same(
      all.map(({ told }) => told),
      [[0], [0], [1, 0], [2, 1]],
    );
    places.leave(all[3]);
    places.leave(all[0]);
    t.same(all[3].told, [2, 1], 'who has left hears nothing more');
  },
);

t.test('who asks again is answered again and keeps the place', async (t) => {
  const places = new SyncPlaces(1);
  const [first, second] = [asker(), asker()];
  for (const one of [first, second, first, second]) places.want(one);
  t.same(first.told, [0, 0]);
  t.same(second.told, [1, 1]);
});
