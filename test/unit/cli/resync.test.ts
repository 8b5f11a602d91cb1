// What `homeward resync` takes as an extent, and how it and `verify` speak of what is sent again.
import t from 'tap';
import { formatResync, parseExtent } from '../../../cli/commands/resync.ts';
import { formatVerified } from '../../../cli/commands/verify.ts';

t.test('an extent is a disk and bytes of it', async (t) => {
  t.same(parseExtent('disk:0-4096'), { disk: 'disk', start: 0, end: 4096 });
  for (const text of ['disk', 'disk:5', 'disk:5-5', 'disk:9-5', ':0-1', 'disk:-1-5', 'disk:0-1M', 'a b:0-1'])
    t.throws(() => parseExtent(text), { name: 'HomewardError' }, text);
});

t.test('it says how much is compared, and when', async (t) => {
  const report = { machine: 'web', extents: [], regions: 2, bytes: 8 << 20, whole: false };
  t.match(
    formatResync({ ...report, state: 'begun' }),
    /2 regions of 4 MiB, 8 MiB; what differs is sent\.\nIt/,
  );
  t.match(formatResync({ ...report, state: 'waits' }), /when the source reaches its process server/);
  t.match(formatResync({ ...report, whole: true, state: 'joined' }), /all of it.*\nThe sync that goes on/);
});

const covered = { bytes: 1, records: 1, fromLsn: 1, toLsn: 2, complete: true };

t.test('verify tells of what was healed, of what is lost, and of the command', async (t) => {
  const text = formatVerified(
    {
      ...{ machine: 'web', ok: true, covered, damaged: [] },
      healed: [{ file: '/r/redo/1.seg', fromLsn: 7, toLsn: 9 }],
      unknown: [{ disk: 'root', start: 0, end: 4096 }],
      offer: 'homeward resync web --extent root:0-4096',
      resync: 'it is compared',
    },
    null,
  );
  t.match(text, /is sound/);
  t.match(text, 'Healed records 7 to 9 of /r/redo/1.seg: the process server still had that.\n');
  t.match(text, 'Lost, until it is written again: root [0, 4096).\n');
  t.match(text, 'from the source: homeward resync web --extent root:0-4096\n(it is compared.)\n');
  const alone = { ...{ machine: 'web', ok: true, covered, damaged: [] }, offer: null, resync: 'write it' };
  t.match(formatVerified(alone, null), /\nWrite it\.\n$/);
});

t.test('verify says nothing of what it has not read', async (t) => {
  const report = { machine: 'web', ok: true, covered, damaged: [] };
  t.match(formatVerified(report, null), /^The history of machine web is sound: /);
  t.match(formatVerified(report, { n: 1, of: 3 }), /^Part 1 of 3 of the history of machine web is sound: /);
  const stopped = { ...report, covered: { ...covered, complete: false } };
  t.match(formatVerified(stopped, null), /^What was read of the history of machine web is sound: /);
});
