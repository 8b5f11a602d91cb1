// Reads the redo of a machine that nobody has open: its segments, and what they say of tags, gaps and losses.
import fs from 'node:fs';
import { RecordKind } from '../../../core/record/record.ts';
import { recoverSegments, type RecoveryVisitor } from '../../../core/segment-log/recover.ts';
import { SegmentFiles } from '../../../core/segment-log/segment-files.ts';
import { isEmpty, type Segment } from '../../../core/segment-log/segment.ts';
import type { Catalogue } from '../../journal/catalogue.ts';
import type { RecordSource } from '../../journal/reindex.ts';
import { enterNote, noteOf, payloadAt } from '../../journal/segment-notes.ts';
import type { Cursor } from '../../replica/cursor.ts';

export interface RescuedRedo {
  /** Those with records, oldest first; open, and numbered. */
  segments: Segment[];
  lastLsn: number;
}

export interface RedoToOpen {
  source: RecordSource;
  directory: string;
  /** Is filled in. */
  catalogue: Catalogue;
  cursor: Pick<Cursor, 'pruned' | 'durable' | 'gap'>;
  /** For a cursor that is lost: hears behind which LSN redo begins, and says what gap is open there. */
  beginsAt: ((precededBy: number) => Cursor['gap']) | null;
}

export function openRescuedRedo(redo: RedoToOpen): RescuedRedo {
  const { source, directory, catalogue, cursor } = redo;
  const { files, machine, mark } = source;
  if (cursor.gap !== null) catalogue.gapWasOpen(cursor.gap);
  const visitor = new CatalogueVisitor(redo);
  const recovered = recoverSegments({
    files,
    segmentFiles: new SegmentFiles({ files, directory, machine, segmentBytes: 0 }),
    directory,
    ...{ machine, mark, appliedLsn: cursor.pruned, durable: cursor.durable },
    visitor,
  });
  visitor.begin(cursor.pruned);
  const segments = recovered.segments.filter((segment) => !isEmpty(segment));
  for (const [ordinal, segment] of segments.entries()) segment.ordinal = ordinal;
  for (const { fd } of [...recovered.unneeded, ...recovered.segments.filter(isEmpty)]) fs.closeSync(fd);
  return { segments, lastLsn: recovered.lastLsn };
}

class CatalogueVisitor implements RecoveryVisitor {
  readonly #redo: RedoToOpen;
  #current: Segment | null = null;
  /** Redo begins behind this; null while that is not known. */
  #begin: number | null;

  constructor(redo: RedoToOpen) {
    this.#redo = redo;
    this.#begin = redo.beginsAt === null ? redo.cursor.pruned : null;
  }

  segmentBegin(segment: Segment): void {
    this.#current = segment;
    this.begin(segment.precededBy);
  }

  /** Redo begins behind `lsn`, if nothing of it was there before. */
  begin(lsn: number): void {
    if (this.#begin !== null) return;
    const { beginsAt, catalogue, cursor } = this.#redo;
    this.#begin = Math.max(lsn, cursor.pruned);
    const gap = beginsAt?.(this.#begin) ?? null;
    if (gap !== null) catalogue.gapWasOpen(gap);
  }

  segmentEnd(): void {
    this.#current = null;
  }

  record(...[header, position, content]: Parameters<RecoveryVisitor['record']>): void {
    const { catalogue } = this.#redo;
    const place = this.#current ?? { firstLsn: 0, precededBy: 0 };
    const note = noteOf(header, place, payloadAt(content, position, header));
    if (note === null) return;
    if (header.kind === RecordKind.syncEnd && catalogue.openGap === null) this.#beganBefore(header.time);
    enterNote(catalogue, note);
  }

  lost(...[{ from, to, start, end }, known]: Parameters<RecoveryVisitor['lost']>): void {
    if (to <= (this.#begin ?? 0)) return;
    const file = known ?? this.#current?.path ?? this.#redo.directory;
    this.#redo.catalogue.lost.push({ from, to, start, end, file });
  }

  /** A sync ends whose begin is not there: what lies between is no point. */
  #beganBefore(time: number): void {
    const { catalogue, beginsAt } = this.#redo;
    if (beginsAt === null) return;
    const from = catalogue.lost.at(-1)?.from ?? Math.max(this.#begin ?? 0, 1);
    catalogue.gapWasOpen({ from, time, reason: 'a sync whose begin is not kept' });
  }
}
