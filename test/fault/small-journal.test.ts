// A small journal, cut at every length and with every byte flipped: found, located, or harmless, and never
// wrong bytes.
import t, { type Test } from 'tap';
import { join } from 'node:path';
import { payloadFits } from '../../core/record/payload.ts';
import { dataBytesOf, type Lost } from '../../core/segment-log/scan.ts';
import { encodeGroupHeader } from '../../core/segment-log/group.ts';
import { segmentFileName } from '../../core/segment-log/segment.ts';
import type { SimulatedFiles } from '../support/simulated-files.ts';
import {
  directory,
  frozenTimers,
  LogDriver,
  machine,
  newFiles,
  openLog,
  segmentBytes,
  type Found,
  type Spec,
} from './log-driver.ts';

t.setTimeout(110_000);

/** The files of a journal, and what was written into it. */
interface Journal {
  files: Map<string, Buffer>;
  records: Map<number, Spec>;
  durable: number;
  last: number;
  places: Place[];
}
/** Where a record lies in its file. */
interface Place {
  lsn: number;
  name: string;
  start: number;
  end: number;
}

/**
 * Three segments: groups with commits between, notes of an idle log, and at last a tail that was never
 * synced.
 */
async function smallJournal(): Promise<Journal> {
  const driver = new LogDriver();
  await driver.open();
  driver.append(20, 700, 40);
  driver.append(100);
  await driver.commit();
  driver.append(333, 1);
  await driver.wait(200);
  await driver.wait(1000);
  driver.roll();
  driver.append(513);
  await driver.commit();
  driver.append(64, 65, 66);
  await driver.commit();
  await driver.wait(1000);
  driver.roll();
  driver.append(90);
  await driver.commit();
  driver.append(91, 92);
  await driver.commit();
  driver.append(93);
  driver.append(94, 95);
  const durable = driver.acknowledged;
  const last = driver.completed;
  const records = new Map(driver.attempted);
  const files = contentOf(driver.files.kill());
  driver.restartOn(newFiles());
  return { files, records, durable, last, places: positionsOf(files, records) };
}

function contentOf(files: SimulatedFiles): Map<string, Buffer> {
  const content = new Map<string, Buffer>();
  for (const name of files.list(directory).filter((entry) => entry.endsWith('.seg'))) {
    const fd = files.open(join(directory, name));
    const bytes = Buffer.alloc(files.size(fd));
    files.readSync(fd, bytes, 0);
    files.close(fd);
    content.set(name, bytes);
  }
  return content;
}

function filesOf(content: ReadonlyMap<string, Buffer>): SimulatedFiles {
  const files = newFiles();
  for (const [name, bytes] of content) {
    const fd = files.create(join(directory, name));
    files.write(fd, [bytes], 0);
    files.close(fd);
  }
  return files;
}

/** What a reader gets: sound records, damaged ones, and what is lost. */
interface Outcome {
  lastLsn: number;
  lost: Lost[];
  damaged: number[];
  found: Found;
}

async function reopen(
  journal: Journal,
  files: ReadonlyMap<string, Buffer>,
  durableLsn = 0,
): Promise<Outcome> {
  const { log, found } = await openLog(filesOf(files), { durableLsn });
  const damaged = found.records
    .filter(({ header, payload }) => !payloadFits(payload, header.payloadCrc, dataBytesOf(header)))
    .map(({ header }) => header.lsn);
  const lastLsn = log.appendedLsn;
  await log.close();
  const outcome = { lastLsn, lost: found.lost, damaged, found };
  checkNothingWrong(journal, outcome);
  return outcome;
}

/** Each LSN up to the last is exactly what was written, or damaged, or lost: nothing else, nothing twice. */
function checkNothingWrong({ records }: Journal, { found, lost, damaged, lastLsn }: Outcome): void {
  const seen = new Set<number>();
  const see = (lsn: number): void => {
    if (seen.has(lsn)) throw new Error(`LSN ${lsn} comes twice`);
    seen.add(lsn);
  };
  for (const range of lost) for (let lsn = range.from; lsn <= range.to; lsn++) see(lsn);
  for (const { header, payload } of found.records) {
    see(header.lsn);
    const written = records.get(header.lsn);
    const isSame =
      written !== undefined &&
      JSON.stringify(header) === JSON.stringify(written.header) &&
      (damaged.includes(header.lsn) || payload.equals(written.payload));
    if (!isSame) throw new Error(`LSN ${header.lsn} is not what was written`);
  }
  for (let lsn = 1; lsn <= lastLsn; lsn++)
    if (!seen.has(lsn)) throw new Error(`nothing is said about LSN ${lsn}`);
  if (seen.size !== lastLsn) throw new Error(`${seen.size} LSNs are accounted for, the last is ${lastLsn}`);
}

const isLost = (outcome: Outcome, lsn: number): boolean =>
  outcome.lost.some(({ from, to }) => from <= lsn && lsn <= to);

/** By LSN; what is known without the code under test. */
function positionsOf(files: ReadonlyMap<string, Buffer>, records: ReadonlyMap<number, Spec>): Place[] {
  const places: Place[] = [];
  for (const [name, bytes] of files) {
    for (const { header } of records.values()) {
      for (let at = bytes.indexOf('HWR1'); at >= 0; at = bytes.indexOf('HWR1', at + 1)) {
        const isIt = bytes.readUInt32LE(at + 8) === header.lsn;
        if (isIt) places.push({ lsn: header.lsn, name, start: at, end: at + 64 + header.payloadBytes });
      }
    }
  }
  return places.sort((a, b) => a.lsn - b.lsn);
}

t.before(() => frozenTimers(t));

t.test('left alone, it is all there', async (t) => {
  const journal = await smallJournal();
  t.equal(journal.files.size, 3);
  t.ok(journal.durable < journal.last);
  const { lastLsn, lost, damaged } = await reopen(journal, journal.files);
  t.equal(lastLsn, journal.last);
  t.same([...lost, ...damaged], []);
  t.equal(journal.places.length, journal.last);
});

t.test(
  'the last file cut at every length: a prefix, with all that is durable or the LSNs that are lost',
  async (t) => {
    const journal = await smallJournal();
    const { places } = journal;
    const [name, bytes] = [...journal.files].at(-1) ?? ['', Buffer.alloc(0)];
    const content = Math.max(...places.filter((place) => place.name === name).map(({ end }) => end));
    for (let length = 0; length <= content; length++) {
      const files = new Map(journal.files).set(name, bytes.subarray(0, length));
      const whole = places.filter((place) => place.name !== name || place.end <= length).length;
      const { lastLsn, lost, damaged, found } = await reopen(journal, files, journal.durable);
      const what = `cut at ${length}: ${lastLsn} ${JSON.stringify(lost)}`;
      if (found.records.length > whole) t.fail(`half of a record: ${what}`);
      if (lastLsn < journal.durable) t.fail(`durable records are cut: ${what}`);
      for (const { lsn } of places.slice(0, Math.min(whole, journal.durable))) {
        if (lost.some(({ from, to }) => from <= lsn && lsn <= to)) t.fail(`LSN ${lsn} is there: ${what}`);
      }
      if (damaged.length > 0) t.fail(`damaged: ${what}`);
    }
    t.ok(content > 500, `${content} lengths`);
  },
);

/** What one flipped bit did: each is one of these. */
interface Tally {
  harmless: number;
  lost: number;
  damaged: number;
  cut: number;
}

async function flip(
  t: Test,
  journal: Journal,
  where: { name: string; at: number; bit: number },
  tally: Tally,
): Promise<void> {
  const bytes = Buffer.from(journal.files.get(where.name) ?? '');
  bytes[where.at] = (bytes[where.at] ?? 0) ^ (1 << where.bit);
  // What lies in the last file only somebody else knows for sure; for the others, the frames behind them
  // say it.
  const isLast = where.name === [...journal.files.keys()].at(-1);
  const outcome = await reopen(
    journal,
    new Map(journal.files).set(where.name, bytes),
    isLast ? journal.durable : 0,
  );
  const what = `bit ${where.bit} of byte ${where.at} of ${where.name}`;
  const { lost, damaged, lastLsn } = outcome;
  if (lastLsn < journal.durable) t.fail(`${what}: the acknowledged tail is cut at ${lastLsn}`);
  for (let lsn = 1; lsn <= journal.durable; lsn++) {
    const hit = isLost(outcome, lsn) || damaged.includes(lsn);
    const place = journal.places.find((candidate) => candidate.lsn === lsn);
    const mayBe =
      place !== undefined && place.name === where.name && place.start <= where.at && where.at < place.end;
    if (hit !== mayBe) t.fail(`${what}: LSN ${lsn} is ${hit ? 'hit' : 'not hit'}`);
  }
  if (lost.length > 0) tally.lost += 1;
  else if (damaged.length > 0) tally.damaged += 1;
  else if (lastLsn < journal.last) tally.cut += 1;
  else tally.harmless += 1;
}

t.test(
  'a flipped bit in every byte: exactly its record is hit, and what is durable is never cut',
  async (t) => {
    const journal = await smallJournal();
    const tally: Tally = { harmless: 0, lost: 0, damaged: 0, cut: 0 };
    for (const [name, bytes] of journal.files) {
      const content =
        Math.max(...journal.places.filter((place) => place.name === name).map(({ end }) => end)) + 200;
      for (let at = 0; at < content; at++) {
        const isPadding = bytes[at] === 0 && bytes[at - 1] === 0 && bytes[at + 1] === 0;
        if (!isPadding || at % 64 === 0) await flip(t, journal, { name, at, bit: at % 8 }, tally);
      }
    }
    t.comment(JSON.stringify(tally));
    t.ok(tally.lost > 300 && tally.damaged > 1000 && tally.cut > 100 && tally.harmless > 100);
  },
);

t.test(
  'whole files deleted, swapped, doubled or cut short: what is gone is said, nothing is wrong',
  async (t) => {
    const journal = await smallJournal();
    const [first, second, third] = [...journal.files.keys()];
    const firstLsn = (name = ''): number => parseInt(name, 16);
    const content = (name = ''): Buffer => journal.files.get(name) ?? Buffer.alloc(0);
    const without = (name = ''): Map<string, Buffer> =>
      new Map([...journal.files].filter(([other]) => other !== name));
    const lostOf = async (files: Map<string, Buffer>): Promise<[number, number][]> =>
      (await reopen(journal, files, journal.durable)).lost.map(({ from, to }) => [from, to]);

    t.same(await lostOf(without(first)), [[1, firstLsn(second) - 1]], 'the first is gone');
    t.same(
      await lostOf(without(second)),
      [[firstLsn(second), firstLsn(third) - 1]],
      'the middle one is gone',
    );
    t.same(await lostOf(without(third)), [[firstLsn(third), journal.durable]], 'the last is gone');
    t.same(await lostOf(new Map()), [[1, journal.durable]], 'all are gone');
    const swapped = new Map(journal.files)
      .set(first ?? '', content(second))
      .set(second ?? '', content(first));
    t.same(
      await lostOf(swapped),
      [
        [1, firstLsn(second) - 1],
        [firstLsn(second), firstLsn(third) - 1],
      ],
      'swapped',
    );
    const doubled = new Map(journal.files).set(second ?? '', content(first));
    t.same(
      await lostOf(doubled),
      [[firstLsn(second), firstLsn(third) - 1]],
      'the first in place of the second',
    );
    const copied = new Map(journal.files).set(segmentFileName(3), content(first));
    t.same(await lostOf(copied), [], 'a copy under a later name says the same');
    const blank = new Map(journal.files).set(second ?? '', Buffer.alloc(segmentBytes));
    t.same(await lostOf(blank), [[firstLsn(second), firstLsn(third) - 1]], 'zeros');
    const empty = new Map(journal.files).set(first ?? '', Buffer.alloc(0));
    t.same(await lostOf(empty), [[1, firstLsn(second) - 1]], 'no content');
  },
);

t.test('a file other than the last cut at every sector: what is gone is said', async (t) => {
  const journal = await smallJournal();
  const { places } = journal;
  for (const name of [...journal.files.keys()].slice(0, -1)) {
    for (let length = 0; length <= segmentBytes; length += 512) {
      const files = new Map(journal.files).set(
        name,
        (journal.files.get(name) ?? Buffer.alloc(0)).subarray(0, length),
      );
      const outcome = await reopen(journal, files, journal.durable);
      for (const place of places) {
        const isGone = place.name === name && place.end > length;
        if (isLost(outcome, place.lsn) !== isGone) t.fail(`${name} cut at ${length}: LSN ${place.lsn}`);
      }
      if (outcome.lastLsn !== journal.last)
        t.fail(`${name} cut at ${length}: the log ends at ${outcome.lastLsn}`);
    }
  }
  t.ok(journal.files.size > 1);
});

t.test('a file of another machine is refused, and nothing is changed', async (t) => {
  const journal = await smallJournal();
  const names = [...journal.files.keys()];
  for (const name of names) {
    const other = foreignSegment(parseInt(name, 16));
    const files = filesOf(new Map(journal.files).set(name, other));
    const before = contentOf(files);
    let writes = 0;
    files.onCall = (call) => {
      if (!['open', 'readSync'].includes(call)) writes += 1;
    };
    await t.rejects(openLog(files), { code: 'foreign-segment' }, name);
    t.equal(writes, 0);
    t.same(contentOf(files), before);
  }
});

/** A segment that begins with a frame of another machine. */
function foreignSegment(firstLsn: number): Buffer {
  const bytes = Buffer.alloc(segmentBytes);
  encodeGroupHeader(bytes, {
    machine: Buffer.from(machine).fill(7),
    identity: Buffer.alloc(16, 1),
    firstLsn,
    previousDurable: 0,
    arrival: 1,
    position: 0,
    records: 0,
    bodyBytes: 0,
    headersCrc: 0,
    skippedFrom: 0,
  });
  return bytes;
}
