// Reading a log in LSN order: from anywhere, across segments and skips, in any pieces, past damage.
import t from 'tap';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { decodeRecordHeader, machineMark, recordHeaderBytes } from '../../../../core/record/record.ts';
import { parseRecordRun } from '../../../../core/record/record-run.ts';
import { LogReader, type ReadDamage, type ReadRun } from '../../../../core/segment-log/log-reader.ts';
import type { SegmentLog } from '../../../../core/segment-log/segment-log.ts';
import { frozenTimers, LogDriver, machine } from '../../../fault/log-driver.ts';
import { chooseSeed, seededRandom } from '../../../support/random.ts';

t.before(() => frozenTimers(t));

const mark = machineMark(machine);

async function opened(): Promise<{ driver: LogDriver; log: SegmentLog }> {
  const driver = new LogDriver();
  await driver.open();
  const { log } = driver;
  if (log === null) throw new Error('not open');
  return { driver, log };
}

const readerOf = (log: SegmentLog, from: number, upTo = (): number => log.durableLsn): LogReader =>
  new LogReader({ log, machine: mark, from, upTo });

async function readAll(
  reader: LogReader,
  mostBytes: number,
  check = true,
): Promise<(ReadRun | ReadDamage)[]> {
  const found: (ReadRun | ReadDamage)[] = [];
  for (let next = await reader.read(mostBytes, check); next !== null;) {
    found.push(next);
    next = await reader.read(mostBytes, check);
  }
  return found;
}

/** What was read is what was appended, LSN after LSN. */
function lsnsOf(driver: LogDriver, found: readonly (ReadRun | ReadDamage)[]): number[] {
  const lsns: number[] = [];
  for (const each of found) {
    if (each.kind === 'damage') continue;
    const run = parseRecordRun(each.bytes, mark, { payloads: true });
    for (const [index, header] of run.headers.entries()) {
      const start = (run.positions[index] ?? 0) + recordHeaderBytes;
      const payload = each.bytes.subarray(start, start + header.payloadBytes);
      if (driver.attempted.get(header.lsn)?.payload.equals(payload) !== true)
        throw new Error(`LSN ${header.lsn} is not what was appended`);
      lsns.push(header.lsn);
    }
    if (run.headers[0]?.lsn !== each.firstLsn || run.headers.at(-1)?.lsn !== each.lastLsn)
      throw new Error('the run says other LSNs than it has');
  }
  return lsns;
}

const damagesOf = (found: readonly (ReadRun | ReadDamage)[]): [number, number, boolean][] =>
  found.flatMap((each) =>
    each.kind === 'damage'
      ? [[each.from, each.to, each.header !== null] satisfies [number, number, boolean]]
      : [],
  );

const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, index) => from + index);

/** Groups, a sync in between, several segments, a record larger than a segment, a skip. */
async function fill(driver: LogDriver): Promise<void> {
  driver.append(100, 700, 512);
  await driver.commit();
  driver.append(3000);
  driver.append(40, 41, 42);
  driver.append(20_000);
  driver.append(5000, 5000);
  driver.append(5000, 600);
  await driver.commit();
  driver.skipTo(100, 300, 301);
  driver.append(9000);
  driver.append(9001);
  await driver.commit();
}
const filled = [...range(1, 12), ...range(100, 104)];

t.test('records come in order from any LSN on, in pieces of any size', async (t) => {
  const { driver, log } = await opened();
  await fill(driver);
  for (const from of [1, 2, 3, 4, 6, 8, 12, 13, 60, 100, 101, 104, 105]) {
    for (const most of [1, 1000, 8000, 1 << 20]) {
      const reader = readerOf(log, from);
      const found = await readAll(reader, most);
      t.same(
        lsnsOf(driver, found),
        filled.filter((lsn) => lsn >= from),
        `from ${from}, ${most} bytes at a time`,
      );
      t.equal(reader.nextLsn, 105);
      for (const each of found)
        if (each.kind === 'run' && each.firstLsn < each.lastLsn) t.ok(each.bytes.length <= most);
      reader.close();
    }
  }
  t.ok(
    log.segments.every(({ users }) => users === 0),
    'nothing is held any more',
  );
});

t.test('a reader follows what is appended, and sees no more than is durable', async (t) => {
  const { driver, log } = await opened();
  const reader = readerOf(log, 1);
  t.equal(await reader.read(1 << 20, true), null);
  let expected = 1;
  for (const size of [10, 4000, 9000, 20, 20_000, 30]) {
    driver.append(size, size + 1);
    t.equal(await reader.read(1 << 20, true), null, 'not durable yet');
    await driver.commit();
    t.same(lsnsOf(driver, await readAll(reader, 1 << 20)), [expected, expected + 1]);
    expected += 2;
  }
  reader.close();
});

t.test('the segment that is read is not pruned, one that was read to its end is', async (t) => {
  const { driver, log } = await opened();
  driver.append(600, 601);
  await driver.commit();
  driver.roll();
  driver.append(602);
  await driver.commit();
  const reader = readerOf(log, 1);
  await reader.read(700, true);
  t.equal(reader.nextLsn, 2);
  t.equal(log.prune(2), 0);
  await reader.read(700, true);
  t.equal(log.prune(2), 1);
  t.same(lsnsOf(driver, await readAll(reader, 700)), [3]);
  const late = readerOf(log, 2);
  await t.rejects(late.read(700, true), { code: 'pruned' });
  reader.close();
  late.close();
});

t.test('a reader that is closed in the middle of a read lets go when that ends', async (t) => {
  const { driver, log } = await opened();
  driver.append(600, 601);
  await driver.commit();
  const reader = readerOf(log, 1);
  const reading = reader.read(1, true);
  reader.close();
  t.equal(log.segments[0]?.users, 1);
  await reading;
  t.equal(log.segments[0]?.users, 0);
});

t.test('groups that move after a failed sync are read where they are then', async (t) => {
  const { driver, log } = await opened();
  driver.append(600);
  await driver.commit();
  driver.append(601);
  driver.append(602);
  const reader = readerOf(log, 1, () => log.appendedLsn);
  t.same(lsnsOf(driver, [(await reader.read(700, true)) as ReadRun]), [1]);
  t.same(lsnsOf(driver, [(await reader.read(700, true)) as ReadRun]), [2]);
  driver.files.faults.failAt(1, 'EIO', ['sync']);
  t.equal(await driver.commit(), true);
  t.equal(log.segments.length, 2);
  t.same(lsnsOf(driver, await readAll(reader, 700)), [3]);
  reader.close();
});

/** Flips a bit of a segment file under the log. */
function rot(driver: LogDriver, segment: number, position: number): void {
  const { fd } = driver.log?.segments[segment] ?? { fd: -1 };
  const byte = Buffer.alloc(1);
  driver.files.readSync(fd, byte, position);
  driver.files.write(fd, [Buffer.from([(byte[0] ?? 0) ^ 1])], position);
}

t.test('damage costs the records that it hit, and says which', async (t) => {
  const { driver, log } = await opened();
  driver.append(100, 700, 512); // a zero record is the third
  driver.append(3000);
  driver.append(40, 41);
  await driver.commit();
  const [payloadOf1, headerOf2, frameOf4, payloadOf4] = [
    96 + 64 + 5,
    96 + 164 + 9,
    96 + 992 + 50,
    96 + 992 + 200,
  ];
  const look = async (check: boolean): Promise<unknown> => {
    const reader = readerOf(log, 1);
    const found = await readAll(reader, 1 << 20, check);
    reader.close();
    return [check ? lsnsOf(driver, found) : found.length, damagesOf(found)];
  };
  rot(driver, 0, payloadOf1);
  t.same(await look(true), [[2, 3, 4, 5, 6], [[1, 1, true]]]);
  t.same(await look(false), [1, []], 'payloads are looked at only when asked');
  rot(driver, 0, payloadOf1);
  rot(driver, 0, headerOf2);
  t.same(await look(true), [[1, 3, 4, 5, 6], [[2, 2, false]]]);
  rot(driver, 0, headerOf2);
  rot(driver, 0, frameOf4);
  t.same(await look(true), [[1, 2, 3, 4, 5, 6], []], 'a record is sound in itself');
  rot(driver, 0, payloadOf4);
  t.same(await look(true), [[1, 2, 3, 5, 6], [[4, 4, false]]]);
  driver.append(77);
  await driver.commit();
  t.same(await look(true), [[1, 2, 3, 5, 6, 7], [[4, 4, false]]]);
});

t.test('whatever rots, what is read was appended, and the rest is told of', async (t) => {
  const seed = chooseSeed(t);
  const { driver, log } = await opened();
  await fill(driver);
  for (let run = 0; run < 150; run++) {
    const random = seededRandom(seed + run);
    const rotten = range(1, 1 + random.below(4)).map(() => {
      const segment = random.below(log.segments.length);
      return [segment, random.below(log.segments[segment]?.end ?? 1)] as const;
    });
    for (const [segment, position] of rotten) rot(driver, segment, position);
    const reader = readerOf(log, 1 + random.below(20));
    const { nextLsn } = reader;
    const found = await readAll(reader, 1 + random.below(20_000));
    reader.close();
    const told = damagesOf(found).flatMap(([from, to]) => range(from, to));
    const all = [...lsnsOf(driver, found), ...told].sort((a, b) => a - b);
    t.same(
      all,
      filled.filter((lsn) => lsn >= nextLsn),
      `seed ${seed + run}`,
    );
    for (const [segment, position] of rotten) rot(driver, segment, position);
  }
});

t.test('a block that the disk does not give back is damage', async (t) => {
  const { driver, log } = await opened();
  driver.append(2000, 3000, 10);
  driver.append(4000);
  await driver.commit();
  const { files } = driver;
  const read = files.read.bind(files);
  files.read = async (fd, target, position) => {
    if (position < 4096 && position + target.length > 0)
      throw Object.assign(new Error('EIO'), { code: 'EIO' });
    return read(fd, target, position);
  };
  const reader = readerOf(log, 1);
  const found = await readAll(reader, 1 << 20);
  t.same(lsnsOf(driver, found), [3, 4]);
  t.same(damagesOf(found), [[1, 2, false]]);
  reader.close();
  await nextTurn();
});

t.test('a header that is read back is that of the damaged record', async (t) => {
  const { driver, log } = await opened();
  driver.append(100);
  await driver.commit();
  rot(driver, 0, 96 + 64);
  const reader = readerOf(log, 1);
  const found = await reader.read(1, true);
  const bytes = Buffer.alloc(64);
  driver.files.readSync(log.segments[0]?.fd ?? -1, bytes, 96);
  t.match(found, { kind: 'damage', from: 1, to: 1, header: decodeRecordHeader(bytes, 0, mark) });
  reader.close();
});
