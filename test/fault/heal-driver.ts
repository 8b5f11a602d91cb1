// Heals a driven journal from records that were read from its files before they came to harm.
import type { Journal } from '../../agent/journal/journal.ts';
import { LedgerFiles } from '../../agent/journal/ledger-files.ts';
import { RedoHeal, type RedoHealOptions } from '../../agent/journal/redo-heal.ts';
import { silentLog } from '../../core/log.ts';
import {
  decodeRecordHeader,
  findRecordMagic,
  machineMark,
  recordHeaderBytes,
} from '../../core/record/record.ts';
import type { Segment } from '../../core/segment-log/segment.ts';
import type { Random } from '../support/random.ts';
import type { SimulatedFiles } from '../support/simulated-files.ts';
import { tagging, writing, type JournalDriver } from './journal-driver.ts';
import { directory, machine } from './log-driver.ts';

const mark = machineMark(machine);

export function contentOf(files: SimulatedFiles, segment: Pick<Segment, 'fd' | 'bytes'>): Buffer {
  const content = Buffer.alloc(segment.bytes);
  files.readSync(segment.fd, content, 0);
  return content;
}

/** Where each record of a segment lies. */
export function placesOf(content: Buffer): Map<number, { at: number; bytes: number }> {
  const places = new Map<number, { at: number; bytes: number }>();
  for (let at = findRecordMagic(content, 0); at >= 0; at = findRecordMagic(content, at + 1)) {
    const header = decodeRecordHeader(content, at, mark);
    if (header !== null) places.set(header.lsn, { at, bytes: recordHeaderBytes + header.payloadBytes });
  }
  return places;
}

/** All records of a journal by LSN, as somebody has them who can be asked. */
export function recordsOf({ files, journal }: JournalDriver): Map<number, Buffer> {
  const records = new Map<number, Buffer>();
  for (const segment of journal.segments) {
    const content = contentOf(files, segment);
    for (const [lsn, { at, bytes }] of placesOf(content))
      if (lsn >= segment.firstLsn && lsn <= segment.lastLsn)
        records.set(lsn, Buffer.from(content.subarray(at, at + bytes)));
  }
  return records;
}

/** Without records nobody can be asked. */
export function healOf(
  journal: Journal,
  records: ReadonlyMap<number, Buffer> | null,
  asked: Partial<RedoHealOptions> = {},
): RedoHeal {
  const heal = new RedoHeal({
    ...{ name: 'web', directory, journal, log: silentLog, isPulled: () => true, replaced: () => undefined },
    ledger: { append: () => undefined, settle: () => Promise.resolve(), expected: () => new LedgerFiles() },
    ...asked,
  });
  if (records === null) return heal;
  heal.attach(({ isWanted, mostBytes }) => {
    let bytes = 0;
    const wanted = [...records].filter(([lsn]) => isWanted(lsn)).sort(([one], [other]) => one - other);
    return Promise.resolve(new Map(wanted.filter(([, { length }]) => (bytes += length) <= mostBytes)));
  });
  return heal;
}

/** Writes of every size in segments that are complete, with a tag among them; all is durable. */
export async function writeSome(driver: JournalDriver, random: Random, groups: number): Promise<void> {
  await driver.open();
  for (let group = 0; group < groups; group++) {
    const some = Array.from({ length: 1 + random.below(3) }, () =>
      writing(random.below(2), 512 * random.below(12), random.bytes(512 * (1 + random.below(3)))),
    );
    await driver.request(group === 9 ? [...some, tagging('t')] : some);
    if (random.chance(0.4)) await driver.flush();
  }
  await driver.flush();
  driver.journal.roll();
  await driver.journal.settled();
  await driver.check();
}
