// Rules for older history: what is read is what is written, and what cannot be meant says why.
import t from 'tap';
import { formatKeepRules, parseKeepRules } from '../../../core/keep-rules.ts';

const day = 86_400_000;

t.test('rules are read and written', async (t) => {
  t.same(parseKeepRules('hourly=7d,daily=4w'), { hourly: 7 * day, daily: 28 * day });
  t.same(parseKeepRules(' weekly=6m , tags=12h '), { weekly: 180 * day, tags: day / 2 }, 'm is months');
  t.same(parseKeepRules('monthly=2y,yearly=5y'), { monthly: 730 * day, yearly: 1825 * day });
  t.same(parseKeepRules(''), {});
  t.same(parseKeepRules('none'), {});
  for (const [text, spelled] of [
    ['daily=4w,hourly=7d', 'hourly=7d,daily=4w'],
    ['hourly=36h,tags=30d', 'hourly=36h,tags=1m'],
    ['', 'none'],
  ] as const) {
    t.equal(formatKeepRules(parseKeepRules(text)), spelled);
    t.same(parseKeepRules(spelled), parseKeepRules(text));
  }
});

t.test('what cannot be meant is refused in words', async (t) => {
  for (const [text, why] of [
    ['hourly', /"hourly" is not a rule: it is NAME=TIME with hourly, daily, weekly/],
    ['minutely=1d', /"minutely=1d" is not a rule/],
    ['hourly=7d,', /a comma too many/],
    ['hourly=7', /"hourly=7" has no time: it is a number with h, d, w, m \(months\) or y/],
    ['hourly=0d', /has no time/],
    ['hourly=7d,hourly=8d', /"hourly" is there twice/],
    ['daily=23h', /"daily=23h" is shorter than 1d, the time between two/],
    ['hourly=9y', /"hourly=9y" would keep 78840 points; at the most 10000/],
    ['yearly=11y', /"yearly=11y" reaches too far: 10y is the most/],
  ] as const) {
    t.throws(() => parseKeepRules(text), { code: 'bad-keep-rules', message: why }, text);
  }
});
