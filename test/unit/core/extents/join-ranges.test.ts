// Ranges that touch or overlap become one.
import t from 'tap';
import { joinRanges } from '../../../../core/extents/join-ranges.ts';

t.test('ranges are joined in order', async (t) => {
  t.same(
    joinRanges([
      [9, 12],
      [0, 3],
      [3, 5],
      [10, 11],
      [20, 20],
    ]),
    [
      [0, 5],
      [9, 12],
    ],
  );
});
