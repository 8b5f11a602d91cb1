// Durations and sizes as users write them.
import t from 'tap';
import { MiB, parseDuration, parseSize, spellDuration, spellSize, TiB } from '../../../core/units.ts';

t.test('each unit is what it says, and nothing else is a duration', async (t) => {
  const units = { ms: 1, s: 1e3, m: 60e3, h: 3600e3, d: 86400e3, w: 604800e3, y: 31536000e3 };
  for (const [unit, ms] of Object.entries(units)) t.equal(parseDuration(`1.5${unit}`), 1.5 * ms, unit);
  for (const text of ['', '5', 'h', '-1h', '1 h', '1M', 'ever'])
    t.throws(() => parseDuration(text), { code: 'bad-duration' }, `"${text}"`);
});

t.test('what is spelled is read as the same, in the largest unit that is exact', async (t) => {
  const durations = { '0h': 0, '1ms': 1, '90s': 90e3, '24h': 86400e3, '15d': 15 * 86400e3, '36h': 129600e3 };
  for (const [text, ms] of Object.entries(durations)) {
    t.equal(spellDuration(ms), text);
    t.equal(parseDuration(text), ms);
  }
  for (const [text, bytes] of Object.entries({ 1000: 1000, '4K': 4096, '512M': 512 * MiB, '3T': 3 * TiB })) {
    t.equal(spellSize(bytes), text);
    t.equal(parseSize(text), bytes);
  }
  t.equal(spellSize(0), '0');
});
