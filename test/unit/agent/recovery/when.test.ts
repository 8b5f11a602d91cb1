// WHEN as users type it, and what it means on a machine with a window, a gap, tags and lost records.
import t from 'tap';
import { parseWhen, resolveWhen, type Moments } from '../../../../agent/recovery/when.ts';
import { Catalogue } from '../../../../agent/journal/catalogue.ts';
import { HomewardError, type ErrorCode } from '../../../../core/errors.ts';

const second = 1_000_000;
const start = Date.parse('2026-01-31T14:00:00Z') * 1000;

const resync = (lsn: number): Parameters<Catalogue['syncBegins']>[0] => ({
  lsn,
  before: lsn - 1,
  checksums: false,
  time: start + lsn * second,
  reason: 'resync',
});

/**
 * LSN n is stamped n seconds after `start`; 10 to 100 can be shown, 20 to 29 are a gap, 40 to 42 are lost.
 */
function moments(change: Partial<Moments> = {}): Moments {
  const catalogue = new Catalogue();
  catalogue.syncBegins(resync(20));
  catalogue.syncEnds(30, start + 30 * second);
  catalogue.lost.push({ from: 40, to: 42, file: 'x.seg', start: 0, end: 1 });
  catalogue.tags.push({ lsn: 50, time: start + 50 * second, name: 'app', consistency: 'application' });
  catalogue.tags.push({ lsn: 60, time: start + 60 * second, name: 'plain', consistency: 'crash' });
  return {
    oldest: { lsn: 10, time: start + 10 * second },
    kept: [],
    newest: { lsn: 100, time: start + 100 * second },
    now: start + 200 * second,
    catalogue,
    lsnAtTime: (time) => Math.max(10, Math.min(100, Math.floor((time - start) / second))),
    ...change,
  };
}

const resolved = (text: string, change: Partial<Moments> = {}): number =>
  resolveWhen(parseWhen(text), moments(change));

function refusal(work: () => unknown): HomewardError {
  try {
    work();
  } catch (error) {
    if (error instanceof HomewardError) return error;
  }
  throw new Error('nothing was refused');
}

t.test('a lost record is no reason where the moment is shown without it', async (t) => {
  const isBoundary = (lsn: number): boolean => lsn === 42;
  t.equal(resolved('lsn:42', { isBoundary }), 42);
  t.match(
    refusal(() => resolved('lsn:41', { isBoundary })),
    { code: 'damaged' },
  );
});

t.test('each spelling means its moment', async (t) => {
  t.equal(resolved('latest'), 100);
  t.equal(resolved('latest-tag'), 60);
  t.equal(resolved('latest-app'), 50);
  t.equal(resolved('tag:app'), 50);
  t.equal(resolved('lsn:10'), 10);
  t.equal(resolved('2026-01-31T14:00:35Z'), 35);
  t.equal(resolved('2026-01-31T15:00:35+01:00'), 35);
  t.equal(resolved('2026-01-31 14:00:35.999999Z'), 35);
  t.equal(resolved('-150s'), 50);
  t.equal(resolved('-10s'), 100, 'after the last write it is the state after the last write');
});

t.test('a time keeps its microseconds', async (t) => {
  t.match(parseWhen('2026-01-31T14:00:00.000001Z'), { kind: 'time', time: start + 1 });
  t.match(parseWhen('2026-01-31T14:00:00.5Z'), { kind: 'time', time: start + 500_000 });
});

t.test('a time without an offset is in the zone of the host', async (t) => {
  const local = new Date(2026, 0, 31, 14, 0, 35).getTime() * 1000;
  t.match(parseWhen('2026-01-31T14:00:35'), { kind: 'time', time: local });
});

t.test('what is no moment is refused as such', async (t) => {
  for (const text of [
    '',
    'yesterday',
    'lsn:-1',
    'lsn:x',
    'tag:',
    '-15',
    '-15x',
    '2026-13-01T00:00:00Z',
    '2026-02-30T00:00:00Z',
    'lsn:9007199254740993',
  ]) {
    t.equal(refusal(() => parseWhen(text)).code, 'bad-when', text);
  }
});

t.test('what cannot be shown is refused with the reason, never answered with a neighbour', async (t) => {
  const cases: [string, ErrorCode, RegExp][] = [
    ['lsn:9', 'outside-window', /from lsn:10 .* to lsn:100/],
    ['lsn:101', 'outside-window', /from lsn:10/],
    ['2026-01-31T14:00:05Z', 'outside-window', /from lsn:10/],
    ['2026-01-31T14:10:00Z', 'in-future', /has not come yet/],
    ['lsn:20', 'in-gap', /resync.*before is lsn:19.*next point is lsn:30/],
    ['lsn:29', 'in-gap', /lsn:30/],
    ['lsn:41', 'damaged', /40 to 42/],
    ['tag:nothing', 'no-such-tag', /"nothing"/],
  ];
  for (const [text, code, message] of cases) {
    const error = refusal(() => resolved(text));
    t.equal(error.code, code, text);
    t.match(error.message, message);
  }
  t.equal(resolved('lsn:19'), 19);
  t.equal(resolved('lsn:30'), 30, 'the end of a sync is a point');
});

t.test('before the first copy has ended there is no point', async (t) => {
  for (const text of ['latest', 'lsn:10', '-1s'])
    t.equal(refusal(() => resolved(text, { oldest: null })).code, 'no-points');
});

t.test('latest is the point before a gap that is still open', async (t) => {
  const catalogue = new Catalogue();
  catalogue.syncBegins(resync(90));
  t.equal(resolved('latest', { catalogue }), 89);
});

t.test('before the dense window only what is kept is there, and a neighbour never by silence', async (t) => {
  const tag = { name: 'monday', consistency: 'application' } as const;
  const kept = [
    { lsn: 3, time: start + 3 * second, untilTime: start + 4 * second, tag: null },
    { lsn: 6, time: start + 6 * second, untilTime: start + 8 * second, tag },
  ];
  t.equal(resolved('lsn:3', { kept }), 3);
  t.equal(resolved('tag:monday', { kept }), 6);
  t.equal(resolved('2026-01-31T14:00:07Z', { kept }), 6, 'nothing was written until 14:00:08');
  const between = refusal(() => resolved('lsn:4', { kept }));
  t.equal(between.code, 'thinned');
  t.match(between.message, /before is lsn:3 .*next is lsn:6/);
  const later = refusal(() => resolved('2026-01-31T14:00:09Z', { kept }));
  t.equal(later.code, 'thinned');
  t.match(later.message, /before is lsn:6 .*next is lsn:10/);
  t.equal(refusal(() => resolved('lsn:2', { kept })).code, 'outside-window');
  t.equal(refusal(() => resolved('2026-01-31T14:00:01Z', { kept })).code, 'outside-window');
});
