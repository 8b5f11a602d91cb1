// What goes on in place of a record whose payload is damaged: the same LSN and extent, without the content.
import { encodeRecord, recordBytes } from '../../core/record/record-run.ts';
import { RecordKind, type MachineMark, type RecordHeader } from '../../core/record/record.ts';

const emptyNote = Buffer.from('{}');

/** Whether the payload was content of a disk. */
export const holdsContent = ({ kind, length }: RecordHeader): boolean =>
  length > 0 && kind !== RecordKind.tag && kind !== RecordKind.syncEnd;

/**
 * The bytes of the record to pass on, or null for a `sync-begin`, without whose note nothing can be
 * understood. A `sync-end` has nothing that could be lost. Of a tag, and of whatever is about no byte, only
 * the LSN is left, as zeros without a length: an `unknown` without one would be the whole of every disk.
 */
export function asUnknown(header: RecordHeader, machine: MachineMark): Buffer | null {
  const { kind } = header;
  if (kind === RecordKind.syncBegin) return null;
  const { lsn, time, generation, disk, offset, length } = header;
  const place = { lsn, time, generation, disk, offset, length, flags: 0 };
  const data = kind === RecordKind.syncEnd ? emptyNote : null;
  const bytes = Buffer.allocUnsafe(recordBytes(data?.length ?? 0));
  const passedOn =
    kind === RecordKind.syncEnd ? kind : holdsContent(header) ? RecordKind.unknown : RecordKind.zero;
  encodeRecord(bytes, 0, { ...place, kind: passedOn }, data, machine);
  return bytes;
}
