// Groups of foreign bytes: they look to the log like its own, and their memory goes back when they are
// durable.
import t from 'tap';
import { machineMark } from '../../../../core/record/record.ts';
import { parseRecordRun } from '../../../../core/record/record-run.ts';
import { receivedGroup } from '../../../../core/segment-log/received-group.ts';
import { RecordGroup, type PayloadOwner } from '../../../../core/segment-log/record-group.ts';
import { SegmentLog } from '../../../../core/segment-log/segment-log.ts';
import { silentLog } from '../../../../core/log.ts';
import { microseconds } from '../../../../core/units.ts';
import {
  directory,
  frozenTimers,
  machine,
  newFiles,
  openLog,
  segmentBytes,
  specOf,
} from '../../../fault/log-driver.ts';

t.before(() => frozenTimers(t));

const mark = machineMark(machine);

function groupOf(firstLsn: number, ...sizes: number[]): RecordGroup {
  const group = new RecordGroup(firstLsn, sizes.length);
  for (const [index, size] of sizes.entries()) {
    const { header, payload } = specOf(firstLsn + index, 1, size);
    group.add(header, mark, null, payload, null);
  }
  return group;
}
const bytesOf = (group: RecordGroup): Buffer => Buffer.concat(group.parts.slice(1));

class CountingOwner implements PayloadOwner {
  count = 0;
  retain(): void {
    this.count += 1;
  }
  release(): void {
    this.count -= 1;
  }
}

t.test('a group of received bytes says of itself what one that was made here says', async (t) => {
  const made = groupOf(4, 100, 200, 0, 300);
  const bytes = bytesOf(made);
  const received = receivedGroup(parseRecordRun(bytes, mark, { payloads: true }), null);
  for (const name of [
    'firstLsn',
    'lastLsn',
    'firstTime',
    'lastTime',
    'records',
    'bodyBytes',
    'positions',
  ] as const)
    t.same(received[name], made[name], name);
  t.equal(received.headersCrc(), made.headersCrc());
  t.equal(received.parts[1], bytes, 'no copy');
  t.equal(received.beginsSync, false);
});

t.test('LSNs that do not follow each other are no group', async (t) => {
  const bytes = Buffer.concat([bytesOf(groupOf(1, 10)), bytesOf(groupOf(5, 10))]);
  const run = parseRecordRun(bytes, mark, { payloads: true });
  t.throws(() => receivedGroup(run, null), { code: 'bug' });
  t.throws(() => receivedGroup({ bytes: Buffer.alloc(0), headers: [], positions: [] }, null), {
    code: 'bug',
  });
});

t.test('its memory is held until it is durable, once', async (t) => {
  const { log } = await openLog(newFiles());
  const owner = new CountingOwner();
  const group = receivedGroup(parseRecordRun(bytesOf(groupOf(1, 10, 20)), mark, { payloads: true }), owner);
  t.equal(owner.count, 1);
  log.append(group);
  t.equal(owner.count, 1);
  await log.flush();
  t.equal(owner.count, 0);
  group.release();
  t.equal(owner.count, 0);
});

t.test('LSNs are skipped by a sync-begin alone', async (t) => {
  const { log } = await openLog(newFiles());
  t.throws(() => log.append(groupOf(2, 10)), { code: 'bug' });
  log.append(groupOf(1, 10));
  t.throws(() => log.append(groupOf(1, 10)), { code: 'bug' });
  t.throws(() => log.append(groupOf(9, 10)), { code: 'bug' });
  await log.flush();
});

t.test('a log whose segments nobody numbers is pruned, healed and closed like another', async (t) => {
  const files = newFiles();
  const nothing = (): void => undefined;
  const opened = new Set<number>();
  const { open, create, close } = files;
  files.open = (path) => noted(open.call(files, path));
  files.create = (path) => noted(create.call(files, path));
  files.close = (fd) => {
    t.ok(opened.delete(fd), 'a file is closed once');
    close.call(files, fd);
  };
  function noted(fd: number): number {
    opened.add(fd);
    return fd;
  }
  const log = await SegmentLog.open({
    files,
    clock: { now: () => microseconds(1), monotonicMs: () => 0 },
    log: silentLog,
    directory,
    machine,
    segmentBytes,
    syncBytes: 1 << 20,
    syncIntervalMs: 200,
    appliedLsn: 0,
    durableLsn: 0,
    visitor: { segmentBegin: nothing, segmentEnd: nothing, record: nothing, lost: nothing },
    events: { sealed: nothing, relocated: nothing, stateChanged: nothing },
  });
  for (let lsn = 1; lsn <= 9; lsn++) {
    log.append(groupOf(lsn, 9000));
    if (lsn === 5) files.faults.failAt(1, 'EIO', ['sync']);
    await log.flush();
  }
  t.ok(log.segments.every(({ ordinal }) => ordinal === -1));
  t.ok(log.prune(7) >= 5);
  log.append(groupOf(10, 9000));
  await log.close();
  t.equal(opened.size, 0, 'every file is closed');
});
