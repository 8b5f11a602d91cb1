// Times as people type them: only those that there are, in the zone they are typed in, shown with it again.
import t from 'tap';
import { formatTyped, formatUtc, parseTime } from '../../../core/when-time.ts';

process.env['TZ'] = 'Europe/Berlin';

const utcOf = (text: string): string | null => {
  const typed = parseTime(text);
  return typed === null ? null : formatUtc(typed.time);
};

t.test('a date or an hour that there is not is no time', async (t) => {
  for (const text of [
    '2026-02-30T00:00:00Z',
    '2026-02-29T00:00:00+01:00',
    '2026-04-31T00:00:00',
    '2026-13-01T00:00:00Z',
    '2026-00-10T00:00:00Z',
    '2026-01-00T00:00:00Z',
    '2026-01-31T24:00:00Z',
    '2026-01-31T24:00',
    '2026-01-31T23:60:00Z',
    '2026-06-30T23:59:60Z',
    '2026-01-31T12:00:00+24:00',
    '2026-01-31T12:00:00+01:60',
    '0026-01-31T12:00:00Z',
    '2026-03-29T02:30:00',
    '2026-01-31',
  ]) {
    t.equal(parseTime(text), null, text);
  }
});

t.test('what there is means what it says, also where an offset moves it over a day or a month', async (t) => {
  t.equal(utcOf('2024-02-29T00:00:00Z'), '2024-02-29T00:00:00Z');
  t.equal(utcOf('2026-03-01T00:30:00+01:00'), '2026-02-28T23:30:00Z');
  t.equal(utcOf('2026-02-28T23:30:00-0100'), '2026-03-01T00:30:00Z');
  t.equal(utcOf('2026-03-29T02:30:00Z'), '2026-03-29T02:30:00Z', 'the gap is in another zone');
  t.equal(utcOf('2026-01-31 14:05'), '2026-01-31T13:05:00Z');
});

t.test('a time without an offset gets that of its day, and is shown with it and in UTC', async (t) => {
  const shown = (text: string): string => formatTyped(parseTime(text) ?? { time: 0, text: '' });
  t.equal(shown('2026-11-22 10:00'), '2026-11-22T10:00:00+01:00 (2026-11-22T09:00:00Z)');
  t.equal(shown('2026-07-22T10:00:00.250'), '2026-07-22T10:00:00.250+02:00 (2026-07-22T08:00:00.25Z)');
  t.equal(shown('2026-10-25T02:30:00'), '2026-10-25T02:30:00+02:00 (2026-10-25T00:30:00Z)', 'the first');
  t.equal(shown('2026-07-22T10:00:00z'), '2026-07-22T10:00:00Z', 'once is enough');
  t.equal(shown('2026-07-22T10:00:10.000000Z'), '2026-07-22T10:00:10Z');
});
