// How answers look to people.
import t from 'tap';
import { formatPoints } from '../../../cli/commands/points.ts';
import { formatPlan } from '../../../cli/commands/recover.ts';
import { formatStatus } from '../../../cli/commands/status.ts';
import { createPace } from '../../../cli/progress.ts';
import { formatFields, formatSeconds, formatTable } from '../../../cli/table.ts';
import { stubStatus } from '../../support/stub-service.ts';

t.test(
  'columns are as wide as their widest cell, numbers stand at the right, no line ends in spaces',
  async (t) => {
    const rows = [
      { name: 'a', size: '1' },
      { name: 'longer', size: '1000000' },
    ];
    const table = formatTable(
      [
        { title: 'SIZE', right: true, cell: (row: (typeof rows)[0]) => row.size },
        { title: 'NAME', cell: (row) => row.name },
      ],
      rows,
    );
    t.equal(table, '   SIZE  NAME\n      1  a\n1000000  longer\n');
  },
);

t.test('fields stand below each other', async (t) => {
  t.equal(
    formatFields([
      ['a', '1'],
      ['long', '2'],
    ]),
    '  a     1\n  long  2\n',
  );
});

t.test('seconds are shown in at most two units', async (t) => {
  const cases = [
    [0, '0 s'],
    [0.44, '0.4 s'],
    [59, '59 s'],
    [59.9, '1 m'],
    [200, '3 m 20 s'],
    [7500, '2 h 5 m'],
    [86400 * 3 + 4 * 3600 + 60, '3 d 4 h'],
  ] as const;
  for (const [seconds, text] of cases) t.equal(formatSeconds(seconds), text);
});

t.test('the status of a machine is one line', async (t) => {
  t.equal(
    formatStatus(stubStatus),
    [
      'Homeward 0.1.0, retention volume /retention, 12 GiB free',
      'MACHINE  ID    STATE    RPO  OLDEST  APPLIED  DURABLE  HEAD     REDO  UNDO  LISTEN              DISKS',
      'web      3f1c  ok     0.4 s       0       40      118   120  1.5 MiB   0 B  ' +
        'unix:/run/web.sock  root 20 GiB',
      '',
    ].join('\n'),
  );
});

t.test(
  'what is wrong with a machine stands below the table, and no machine is not an empty table',
  async (t) => {
    const machines = stubStatus.machines.map((machine) => ({
      ...machine,
      state: 'no-space' as const,
      detail: 'disk full',
    }));
    t.match(formatStatus({ ...stubStatus, machines }), /\nweb: disk full\n$/);
    t.match(formatStatus({ ...stubStatus, machines: [] }), /No machine yet: homeward ingest open/);
  },
);

t.test('points show window, gaps, tags and kept points, and only those there are', async (t) => {
  const time = '2026-01-31T14:05:00.000000Z';
  const window = { from: { lsn: 0, time: null }, to: { lsn: 9, time } };
  t.equal(
    formatPoints({ machine: 'web', window, gaps: [], tags: [], kept: [] }),
    `Machine web: every write in this window is a point\n  from  LSN 0\n  to    LSN 9 at ${time}\n`,
  );
  const gap = { from: 1, to: null, reason: 'first copy', fromTime: time, toTime: null };
  const tag = { machine: 'web', lsn: 5, time, name: 'noon', consistency: 'user' as const };
  const full = formatPoints({ machine: 'web', window, gaps: [gap], tags: [tag], kept: [{ lsn: 3, time }] });
  for (const part of [/Gaps[^]*first copy/, /Tags[^]*noon/, /Kept points[^]* 3/]) t.match(full, part);
  t.equal(
    formatPoints({ machine: 'web', window: null, gaps: [], tags: [], kept: [] }),
    'Machine web has no point yet\n',
  );
});

t.test('a plan says what goes where and what is there', async (t) => {
  const disk = { name: 'root', size: 512, to: '/dev/sdx', format: 'block', found: 'ext4' };
  const disks = [{ ...disk, dataBytes: 100, freeBytes: 1024, resumes: 0.429 }];
  t.equal(
    formatPlan({ machine: 'web', lsn: 0, time: null, asked: null, disks }, null),
    'Machine web as of LSN 0\nDISK   SIZE  FORMAT  TO         DATA   ROOM  FOUND THERE\n' +
      'root  512 B  block   /dev/sdx  100 B  1 KiB  ext4\n' +
      'root goes on where it was interrupted, at 42 %.\n',
  );
  const some = { machine: 'web', lsn: 0, time: null, asked: null, disks, left: ['data', 'log'] };
  t.match(formatPlan(some, null), 'NOT among them: data, log. Name a device');
});

t.test('the pace is reckoned from the first report, and not shown before it means anything', async (t) => {
  let now = 0;
  const pace = createPace(() => now);
  t.equal(pace({ done: 1024 ** 2, total: 11 * 1024 ** 2, what: 'root' }), '');
  now = 2000;
  t.equal(pace({ done: 3 * 1024 ** 2, total: 11 * 1024 ** 2, what: 'root' }), '1 MiB/s, 8 s left');
});
