// Makes tables of a view where none are: by reading the segment, in the thread of the view.
import type { ExtentPages } from '../../core/extents/extent-pages.ts';
import type { Files } from '../../core/files/files.ts';
import { buildRedoTable } from '../journal/reindex.ts';
import { buildUndoTable } from './undo/undo-reader.ts';
import type { ViewContent, ViewSegment } from './view-content.ts';

interface ScanOf {
  content: ViewContent;
  files: Files;
}

/** The records of a redo segment in (afterLsn, lsn]. */
export function scanRedo(
  { content, files }: ScanOf,
  segment: ViewSegment,
  { afterLsn, lsn }: { afterLsn: number; lsn: number },
): ExtentPages {
  return buildRedoTable(files, content.machine, segment, afterLsn, lsn);
}

/** All of an undo segment. */
export function scanUndo({ content, files }: ScanOf, segment: ViewSegment): ExtentPages {
  const { fd, path, firstLsn: from, lastLsn: to, end: bytes, ordinal } = segment;
  return buildUndoTable(files, { fd, path, from, to, bytes }, content.machine, ordinal);
}
