// A damaged segment and records that were had again: what comes out is sound, and never anything else.
import t from 'tap';
import {
  findUnsound,
  isSound,
  mendSegment,
  type MendedPlace,
} from '../../../../agent/journal/mend-segment.ts';
import { recordHeaderBytes, machineMark } from '../../../../core/record/record.ts';
import { listFrames } from '../../../../core/segment-log/frames.ts';
import { groupHeaderBytes } from '../../../../core/segment-log/group.ts';
import { payloadAtFits, scanSegment } from '../../../../core/segment-log/scan.ts';
import { frozenTimers, LogDriver, machine } from '../../../fault/log-driver.ts';
import { chooseSeed, seededRandom, type Random } from '../../../support/random.ts';

t.before(() => frozenTimers(t));

interface Sample {
  content: Buffer;
  place: MendedPlace;
  /** As they were written, by LSN. */
  records: Map<number, Buffer>;
}

/** One complete segment with groups of every size; `skipped`: it begins behind a skip. */
async function sampleOf(random: Random, skipped: boolean): Promise<Sample> {
  const driver = new LogDriver();
  await driver.open();
  if (skipped) {
    driver.append(100);
    driver.skipTo(50, 300);
  }
  for (let group = 0; group < 6; group++) {
    driver.append(...Array.from({ length: 1 + random.below(4) }, () => random.below(700)));
    if (random.chance(0.4)) await driver.commit();
  }
  await driver.commit();
  driver.roll();
  const segment = driver.log?.segments.at(-2);
  if (segment === undefined) throw new Error('there is no segment');
  const content = Buffer.alloc(segment.bytes);
  driver.files.readSync(segment.fd, content, 0);
  const place = { ...segment, machine };
  return { content, place, records: recordsOf(content, place) };
}

/** Of those that are found, the bytes; null where the payload does not fit. */
function found(content: Buffer, { firstLsn, lastLsn, end }: MendedPlace): Map<number, Buffer | null> {
  const records = new Map<number, Buffer | null>();
  const used = content.subarray(0, end);
  scanSegment({
    ...{
      content: used,
      frames: listFrames(used, machine, firstLsn),
      machine: machineMark(machine),
      firstLsn,
    },
    cutLsn: lastLsn + 1,
    durable: lastLsn,
    visitor: {
      record(header, at) {
        const whole = Buffer.from(used.subarray(at, at + recordHeaderBytes + header.payloadBytes));
        records.set(header.lsn, payloadAtFits(used, header, at) ? whole : null);
      },
      lost: () => undefined,
    },
  });
  return records;
}

function recordsOf(content: Buffer, place: MendedPlace): Map<number, Buffer> {
  return new Map(
    [...found(content, place)].flatMap(([lsn, bytes]) => (bytes === null ? [] : [[lsn, bytes]])),
  );
}

function damaged(content: Buffer, end: number, random: Random): Buffer {
  const copy = Buffer.from(content);
  for (let times = 1 + random.below(3); times > 0; times--) {
    const at = random.below(end);
    const how = random.below(4);
    if (how < 2) copy[at]! ^= 1 << random.below(8);
    else if (how === 2) copy.fill(0, at, Math.min(end, at + 1 + random.below(5000)));
    else random.bytes(Math.min(200, end - at)).copy(copy, at);
  }
  return copy;
}

t.test('with all records at hand every damage is mended', async (t) => {
  const random = seededRandom(chooseSeed(t));
  let relaid = 0;
  for (let round = 0; round < 400; round++) {
    const { content, place, records } = await sampleOf(random, random.chance(0.3));
    const broken = damaged(content, place.end, random);
    const before = findUnsound(broken, place);
    const mended = mendSegment(broken, place, records);
    if (isSound(before)) {
      t.equal(mended, null);
      continue;
    }
    if (mended === null) return t.fail(`round ${round} was not mended: ${JSON.stringify(before)}`);
    if (!isSound(mended.left) || !same(recordsOf(mended.content, place), records))
      return t.fail(`round ${round} has another content: ${JSON.stringify(mended.left)}`);
    if (!mended.isRelaid && !sameGroups(mended.content, content, place))
      return t.fail(`round ${round} has other groups than were written`);
    relaid += mended.isRelaid ? 1 : 0;
  }
  t.ok(relaid > 20 && relaid < 380, `${relaid} were laid out anew`);
});

t.test('a file that was cut off anywhere, or has nothing left, has all its records again', async (t) => {
  const random = seededRandom(chooseSeed(t));
  for (let round = 0; round < 100; round++) {
    const { content, place, records } = await sampleOf(random, false);
    const end = round === 0 ? 0 : random.below(place.end);
    const cut = { ...place, end };
    const mended = mendSegment(content.subarray(0, end), cut, records);
    if (mended === null || !isSound(mended.left)) return t.fail(`cut at ${end} of ${place.end}`);
    const after = recordsOf(mended.content, { ...place, end: mended.end });
    if (!same(after, records)) return t.fail(`cut at ${end}: other records`);
  }
  t.pass('all of them');
});

t.test('with some of them nothing gets worse, and nothing is ever another record', async (t) => {
  const random = seededRandom(chooseSeed(t));
  for (let round = 0; round < 400; round++) {
    const { content, place, records } = await sampleOf(random, random.chance(0.3));
    const broken = damaged(content, place.end, random);
    const some = new Map([...records].filter(() => random.chance(0.6)));
    const mended = mendSegment(broken, place, some);
    if (mended === null) continue;
    const after = recordsOf(mended.content, place);
    for (const [lsn, bytes] of after)
      if (records.get(lsn)?.equals(bytes) !== true) return t.fail(`round ${round}: record ${lsn} is another`);
    for (const lsn of recordsOf(broken, place).keys())
      if (!after.has(lsn)) return t.fail(`round ${round}: record ${lsn} was there before`);
  }
  t.pass('400 rounds');
});

t.test('a record of another generation is not taken where nothing vouches for it', async (t) => {
  const random = seededRandom(7);
  const { content, place, records } = await sampleOf(random, false);
  const frames = listFrames(content.subarray(0, place.end), machine, place.firstLsn).frames;
  const second = frames[1];
  if (second === undefined) throw new Error('there are groups');
  const broken = Buffer.from(content);
  // Frame and headers of the second group are gone.
  broken.fill(0, second.position, second.position + groupHeaderBytes + second.bodyBytes);
  t.ok(mendSegment(broken, place, records), 'with the right ones it is mended');
  const driver = new LogDriver();
  driver.attempt = 5;
  await driver.open();
  for (const frame of frames) driver.append(...Array.from({ length: frame.records }, () => 10));
  await driver.commit();
  driver.roll();
  const segment = driver.log?.segments.at(-2);
  if (segment === undefined) throw new Error('there is no segment');
  const other = Buffer.alloc(segment.bytes);
  driver.files.readSync(segment.fd, other, 0);
  const later = recordsOf(other, { ...segment, machine });
  t.equal(mendSegment(broken, place, later), null);
});

/** Between groups anything may lie. */
function sameGroups(one: Buffer, other: Buffer, { firstLsn, end }: MendedPlace): boolean {
  return listFrames(other.subarray(0, end), machine, firstLsn).frames.every(({ position, bodyBytes }) => {
    const stop = position + groupHeaderBytes + bodyBytes;
    return one.subarray(position, stop).equals(other.subarray(position, stop));
  });
}

const same = (one: ReadonlyMap<number, Buffer>, other: ReadonlyMap<number, Buffer>): boolean =>
  one.size === other.size && [...one].every(([lsn, bytes]) => other.get(lsn)?.equals(bytes) === true);
