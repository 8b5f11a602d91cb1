// Finds every record of a step that made random content of other content, where counting looks at some.
import { addressDisk, addressOffset } from '../../../core/extents/address.ts';
import { ContentKind, type Extent } from '../../../core/extents/extent-columns.ts';
import type { Files } from '../../../core/files/files.ts';
import { machineMark, parseRecordHeader, recordHeaderBytes } from '../../../core/record/record.ts';
import { RecordReader } from '../record-reader.ts';
import { readStepRedo } from '../step-redo.ts';
import { EntryContent } from '../undo/entry-content.ts';
import { readOrLose } from '../undo/record-source.ts';
import { scanUndo } from '../undo/undo-reader.ts';
import type { OnsetJob, RandomRecord } from '../undo/undo-step.ts';
import { BlockClass, classOf } from './block-class.ts';

const blockBytes = 4096;

/** In LSN order. Of what the step wrote several times only the last counts, as in its undo only the first. */
export async function findOnset(files: Files, job: OnsetJob): Promise<RandomRecord[]> {
  const { machine, undo, redo, upTo } = job;
  const run = { machine, redo, from: undo.from, to: undo.to };
  const { table } = await readStepRedo(files, run);
  const reader = new NewContent(files, job);
  const found = new Map<number, RandomRecord>();
  let index = 0;
  for (const entry of scanUndo(files, undo, machine)) {
    if (entry.kind === ContentKind.unknown || entry.record === null) continue;
    const content = entry.kind === ContentKind.data ? new EntryContent(entry) : null;
    if (content !== null && content.lost.length > 0) continue;
    while (index < table.count && table.columns.ends[index]! <= entry.start) index += 1;
    for (let at = index; at < table.count && table.columns.starts[at]! < entry.end; at++) {
      const extent = table.columns.extent(at);
      const record = reader.recordOf(extent);
      if (record === null || record.lsn > upTo || found.has(record.lsn)) continue;
      const start = Math.max(extent.start, entry.start);
      const end = Math.min(extent.end, entry.end);
      if (reader.becameRandom(extent, start, end, content)) found.set(record.lsn, record);
    }
  }
  return [...found.values()].sort((one, other) => one.lsn - other.lsn);
}

class NewContent {
  readonly #files: Files;
  readonly #job: OnsetJob;
  readonly #reader: RecordReader;
  readonly #head = Buffer.allocUnsafe(recordHeaderBytes);
  readonly #new = Buffer.allocUnsafe(blockBytes);
  readonly #old = Buffer.allocUnsafe(blockBytes);

  constructor(files: Files, job: OnsetJob) {
    this.#files = files;
    this.#job = job;
    this.#reader = new RecordReader(machineMark(Buffer.from(job.machine)), files);
  }

  /** Null for what is not content, or cannot be read. */
  recordOf({ kind, segment, position, lsnDelta }: Extent): RandomRecord | null {
    if (kind !== ContentKind.data) return null;
    const { fd, firstLsn } = this.#job.redo[segment]!;
    this.#files.readSync(fd, this.#head, position);
    const header = parseRecordHeader(this.#head, 0, machineMark(Buffer.from(this.#job.machine)));
    return header?.lsn === firstLsn + lsnDelta ? { lsn: header.lsn, time: header.time } : null;
  }

  /** Whether any block of [start, end) did; `old` is null for zeros. */
  becameRandom(extent: Extent, start: number, end: number, old: EntryContent | null): boolean {
    for (let at = start; at < end;) {
      const stop = Math.min(end, at - (at % blockBytes) + blockBytes);
      if (this.#newClass(extent, at, stop) === BlockClass.random && this.#wasNot(old, at, stop)) return true;
      at = stop;
    }
    return false;
  }

  #newClass(extent: Extent, start: number, end: number): BlockClass {
    const redo = this.#job.redo[extent.segment]!;
    const disk = addressDisk(start);
    const offset = addressOffset(start);
    const target = this.#new.subarray(0, end - start);
    const lsn = redo.firstLsn + extent.lsnDelta;
    const wanted = { position: extent.position, lsn, disk, start: offset, end: offset + target.length };
    const read = this.#reader.read.bind(this.#reader);
    const lost = readOrLose(read, redo, target, wanted);
    return lost.length > 0 ? BlockClass.small : classOf(target, 0, target.length);
  }

  #wasNot(old: EntryContent | null, start: number, end: number): boolean {
    if (old === null) return this.#job.fresh;
    const target = this.#old.subarray(0, end - start);
    old.copy(start, target);
    const was = classOf(target, 0, target.length);
    return was === BlockClass.structured || (this.#job.fresh && was === BlockClass.zero);
  }
}

/**
 * The first record of the run that goes on behind `fromLsn`: what lies before belongs to it as long as there
 * are no long pauses.
 */
export function firstOfRun(
  records: readonly RandomRecord[],
  fromLsn: number,
  quietUs: number,
): RandomRecord | null {
  let at = records.findIndex(({ lsn }) => lsn >= fromLsn);
  if (at < 0) at = records.length - 1;
  while (at > 0 && records[at]!.time - records[at - 1]!.time <= quietUs) at -= 1;
  return records[at] ?? null;
}
