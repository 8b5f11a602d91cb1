// For whom a sync in the spool makes up for what is missing, once somebody has been compared with.
import t from 'tap';
import { Amends } from '../../../process-server/spool/amends.ts';
import { emptyState } from '../../../process-server/spool/spool-state.ts';

t.test('a sync that compared is for those who have what it was compared with', async (t) => {
  const state = emptyState();
  let saves = 0;
  const none = (): void => undefined;
  const amends = new Amends({ state, changed: none, save: () => (saves += 1), problem: none });
  state.jumps.push({ lsn: 60, covers: 0 }, { lsn: 90, covers: 20 });
  amends.sent(60, 40);
  t.same(amends.jumps[0], { lsn: 60, covers: 0 }, 'nothing is compared before it is there');
  amends.reached(40, 59);
  t.equal(saves, 0);
  amends.reached(59, 70);
  t.same(amends.jumps, [
    { lsn: 60, covers: 40 },
    { lsn: 90, covers: 20 },
  ]);
  t.equal(saves, 1, 'on disk before the source hears of it');
  amends.reached(70, 100);
  t.same(amends.jumps[1], { lsn: 90, covers: 89 }, 'it is not known what was there: the record before');
  amends.pruned(60);
  t.same(amends.jumps, [{ lsn: 90, covers: 89 }]);
});
