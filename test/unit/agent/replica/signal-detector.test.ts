// What is a mass encryption and what is not, as a table; when it begins, and when it has ended.
import t from 'tap';
import {
  blankDetector,
  leastOf,
  observe,
  type DetectorState,
  type TimedPiece,
} from '../../../../agent/replica/signal/detector.ts';
import { noCounts, type SignalCounts } from '../../../../agent/replica/signal/step-counts.ts';
import { limits } from '../../../../core/limits.ts';
import { GiB, MiB, TiB } from '../../../../core/units.ts';

const least = 16 * MiB;
const second = 1e6;

/** So many pieces of 256 blocks, one a second. */
interface Stretch {
  pieces: number;
  counts: Partial<SignalCounts>;
  /** Seconds before it. */
  pause?: number;
}

interface Story {
  changes: ('begun' | 'ended')[];
  onsetLsn: number | null;
  state: DetectorState;
}

function tell(stretches: readonly Stretch[], leastBytes = least): Story {
  const changes: Story['changes'] = [];
  let state = blankDetector;
  let onsetLsn: number | null = null;
  let time = 1e15;
  let lsn = 1;
  for (const { pieces, counts, pause = 0 } of stretches) {
    time += pause * second;
    for (let n = 0; n < pieces; n++, lsn += 100, time += second) {
      const piece: TimedPiece = { ...noCounts, ...counts, firstLsn: lsn, lastLsn: lsn + 99, time };
      const seen = observe(state, piece, leastBytes);
      ({ state } = seen);
      if (seen.change !== null) changes.push(seen.change);
      if (seen.change === 'begun') onsetLsn = state.event?.onset.firstLsn ?? null;
    }
  }
  return { changes, onsetLsn, state };
}

const encrypting = { written: 256, rewritten: 240, encrypted: 220, fresh: 16 };
const database = { written: 256, rewritten: 200, packed: 4, encrypted: 1, fresh: 56 };
const copying = { written: 256, fresh: 256, freshPacked: 40, freshRandom: 60 };
const replacing = { written: 256, fresh: 250, freshRandom: 248, rewritten: 6 };
const discarding = { zeroed: 256, dropped: 250 };

const table: [what: string, story: Stretch[], alarm: boolean][] = [
  ['files encrypted in place', [{ pieces: 3, counts: encrypting }], true],
  [
    'the same while a database is busy',
    [{ pieces: 9, counts: { ...encrypting, rewritten: 480, written: 512 } }],
    true,
  ],
  [
    'the same behind hours of database',
    [
      { pieces: 7200, counts: database },
      { pieces: 15, counts: encrypting },
    ],
    true,
  ],
  ['slowly, but within minutes', [{ pieces: 300, counts: { written: 8, rewritten: 8, encrypted: 7 } }], true],
  ['half of the files are packed already', [{ pieces: 5, counts: { ...encrypting, encrypted: 110 } }], true],
  [
    'new files replace old ones, whose blocks are used again',
    [
      { pieces: 2, counts: replacing },
      { pieces: 2, counts: { ...replacing, fresh: 120, freshRandom: 119, rewritten: 130, encrypted: 110 } },
    ],
    true,
  ],
  [
    'new files replace old ones, which are discarded',
    [
      { pieces: 3, counts: replacing },
      { pieces: 3, counts: discarding },
    ],
    true,
  ],
  ['less than counts', [{ pieces: 1, counts: { written: 200, rewritten: 200, encrypted: 199 } }], false],
  ['a database load', [{ pieces: 2000, counts: database }], false],
  ['packages over free space', [{ pieces: 200, counts: copying }], false],
  [
    'packages over deleted files',
    [{ pieces: 200, counts: { written: 256, rewritten: 256, encrypted: 40, packed: 40 } }],
    false,
  ],
  [
    'a disk that was encrypted from the beginning',
    [{ pieces: 500, counts: { written: 256, rewritten: 256 } }],
    false,
  ],
  [
    'a compressed backup over free space',
    [{ pieces: 500, counts: { written: 256, fresh: 256, freshPacked: 110, freshRandom: 146 } }],
    false,
  ],
  [
    'an encrypted backup over free space',
    [{ pieces: 500, counts: { written: 256, fresh: 256, freshRandom: 255 } }],
    false,
  ],
  [
    'a compressed backup over deleted files',
    [{ pieces: 500, counts: { written: 256, rewritten: 256, packed: 110, encrypted: 146 } }],
    false,
  ],
  [
    'old logs are compressed and discarded',
    [
      { pieces: 20, counts: { written: 256, fresh: 256, freshRandom: 200, freshPacked: 56 } },
      { pieces: 100, counts: discarding },
    ],
    false,
  ],
  ['deleted files are discarded', [{ pieces: 500, counts: discarding }], false],
];

for (const [what, story, alarm] of table)
  t.test(`${what}: ${alarm ? 'an alarm' : 'no alarm'}`, async (t) => {
    t.same(tell(story).changes, alarm ? ['begun'] : []);
  });

t.test('the onset is the first piece of it, also over pauses, and not what came before', async (t) => {
  const small = { written: 100, rewritten: 100, encrypted: 60 };
  const story = [
    { pieces: 30, counts: database },
    { pieces: 1, counts: small, pause: 5 },
    { pieces: 1, counts: small, pause: 40 },
    { pieces: 3, counts: encrypting, pause: 50 },
  ];
  t.equal(tell(story).onsetLsn, 3001);
  const copied = [
    { pieces: 60, counts: copying },
    { pieces: 3, counts: encrypting },
  ];
  t.equal(tell(copied).onsetLsn, 6001, 'a copy of files is not part of it');
  const other = [
    { pieces: 1, counts: small },
    { pieces: 3, counts: encrypting, pause: 90 },
  ];
  t.equal(tell(other).onsetLsn, 101, 'nor what lies long before');
  const replaced = [
    { pieces: 10, counts: copying },
    { pieces: 2, counts: replacing },
    { pieces: 3, counts: encrypting },
  ];
  t.equal(tell(replaced).onsetLsn, 1001, 'but new files of the same kind are');
  const archived = [
    { pieces: 2, counts: replacing },
    { pieces: 3, counts: copying },
    { pieces: 2, counts: replacing },
    { pieces: 3, counts: encrypting },
  ];
  t.equal(tell(archived).onsetLsn, 501, 'unless something else was written in between');
});

t.test('an event is one until the stream is normal again; the next is another', async (t) => {
  const event = [
    { pieces: 300, counts: encrypting },
    { pieces: 120, counts: database },
  ];
  t.same(tell(event).changes, ['begun', 'ended']);
  t.same(tell([...event, ...event]).changes, ['begun', 'ended', 'begun', 'ended']);
  t.same(
    tell([
      { pieces: 3, counts: encrypting },
      { pieces: 30, counts: database },
    ]).changes,
    ['begun'],
  );
});

t.test('what a machine does all day is no alarm, more of it is', async (t) => {
  const daily = { written: 8, rewritten: 8, encrypted: 3 };
  const usual = { pieces: 20_000, counts: daily };
  const before = tell([{ pieces: 400, counts: { ...daily, encrypted: 6 } }]);
  t.same(before.changes, ['begun'], 'on a machine that is not known it is one');
  const slow = { written: 8, rewritten: 8, encrypted: 2 };
  const known = [
    { ...usual, counts: slow },
    { pieces: 300, counts: { ...daily, encrypted: 4 } },
  ];
  t.same(tell(known).changes, [], 'twice of what is usual is none');
  t.same(tell([...known, { pieces: 30, counts: encrypting }]).changes, ['begun']);
});

t.test('a clock that goes back, or far ahead, does no harm', async (t) => {
  const back = tell([
    { pieces: 30, counts: database },
    { pieces: 30, counts: encrypting, pause: -3600 },
  ]);
  t.same(back.changes, ['begun']);
  const ahead = tell([
    { pieces: 3, counts: encrypting },
    { pieces: 90, counts: database, pause: 1e7 },
  ]);
  t.same(ahead.changes, ['begun', 'ended']);
});

t.test('how much is a mass depends on the disks, within bounds', async (t) => {
  t.equal(leastOf(GiB), limits.signalLeastBytes);
  t.equal(leastOf(100 * GiB), 0.5 * GiB);
  t.equal(leastOf(60 * TiB), limits.signalLeastMost);
});
