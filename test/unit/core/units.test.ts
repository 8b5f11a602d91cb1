// Durations as users write them.
import t from 'tap';
import { parseDuration } from '../../../core/units.ts';

t.test('each unit is what it says, and nothing else is a duration', async (t) => {
  const units = { ms: 1, s: 1e3, m: 60e3, h: 3600e3, d: 86400e3, w: 604800e3, y: 31536000e3 };
  for (const [unit, ms] of Object.entries(units)) t.equal(parseDuration(`1.5${unit}`), 1.5 * ms, unit);
  for (const text of ['', '5', 'h', '-1h', '1 h', '1M', 'ever'])
    t.throws(() => parseDuration(text), { code: 'bad-duration' }, `"${text}"`);
});
