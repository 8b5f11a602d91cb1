// Makes the derived table of one undo segment, or one for a run of them, out of what tables there are.
import { dirname } from 'node:path';
import { DerivedDamaged } from '../../../core/extents/derived-damaged.ts';
import type { ExtentPages } from '../../../core/extents/extent-pages.ts';
import { mergePages } from '../../../core/extents/merge-pages.ts';
import { PageCache } from '../../../core/extents/page-cache.ts';
import { PagedTable } from '../../../core/extents/paged-table.ts';
import type { TableSource } from '../../../core/extents/table-file.ts';
import { createTableFile } from '../../../core/extents/table-file-writer.ts';
import type { Files } from '../../../core/files/files.ts';
import { isMissing } from './undo-head.ts';
import { buildUndoTable } from './undo-reader.ts';
import type { LentUndo } from './undo-step.ts';

/** A part of the node: neighbouring steps, oldest first, and where a table of them may be. */
export interface NodePart {
  tablePath: string;
  steps: { undo: LentUndo; identity: string }[];
}

export interface NodeJob {
  machine: Uint8Array;
  /** Where the table goes. */
  path: string;
  /** Oldest first; they join. */
  parts: NodePart[];
}

/**
 * Streams what the tables of the parts say together, the oldest first; a part whose table is not there or
 * not its own is read from its segments. Throws what the disk throws; no table is made then.
 */
export function buildNode(files: Files, job: NodeJob): void {
  files.ensureDirectory(dirname(job.path));
  const opened: number[] = [];
  try {
    const parts: OpenPart[] = job.parts.map((part) => ({
      part,
      fd: openTable(files, part.tablePath, opened),
      pages: null,
    }));
    for (let unusable = 0; ; unusable++) {
      try {
        writeNode(files, job, parts);
        return;
      } catch (error) {
        // Each part can turn out to be damaged once.
        if (!(error instanceof DerivedDamaged) || unusable === parts.length) throw error;
        const { table } = error;
        for (const one of parts) if (one.pages === table) one.fd = -1;
      }
    }
  } finally {
    for (const fd of opened) files.close(fd);
  }
}

interface OpenPart {
  part: NodePart;
  /** Of its table, -1 when that is not used. */
  fd: number;
  pages: ExtentPages | null;
}

function openTable(files: Files, path: string, opened: number[]): number {
  try {
    const fd = files.open(path);
    opened.push(fd);
    return fd;
  } catch (error) {
    if (!isMissing(error)) throw error;
    return -1;
  }
}

function writeNode(files: Files, job: NodeJob, parts: OpenPart[]): void {
  const sources: TableSource[] = [];
  const tables: ExtentPages[] = [];
  // What is read once, from front to back, needs a page of each.
  const cache = new PageCache(Math.max(parts.length, 1));
  for (const one of parts) {
    const first = sources.length;
    const own = sourcesOf(one.part);
    const pages = one.fd < 0 ? null : tryOpen(files, one.fd, own, first, cache);
    if (pages !== null) {
      one.pages = pages;
      tables.push(pages);
    } else {
      one.part.steps.forEach(({ undo }, at) => {
        tables.push(buildUndoTable(files, undo, job.machine, first + at));
      });
    }
    sources.push(...own);
  }
  createTableFile(files, job.path, { sources }, (writer) => {
    mergePages(tables, (start, end, columns, index) => {
      writer.pushPiece(start, end, columns.segments[index]!, columns, index);
    });
  });
}

function sourcesOf({ steps }: NodePart): TableSource[] {
  return steps.map(({ undo: { from, to }, identity }) => ({ from, to, identity }));
}

function tryOpen(
  files: Files,
  fd: number,
  sources: readonly TableSource[],
  first: number,
  cache: PageCache,
): PagedTable | null {
  const table = PagedTable.tryOpen(files, fd, (meta) => meta.sources.map((_, at) => first + at), cache);
  return table !== null && isTableOf(table.meta.sources, sources) ? table : null;
}

/** Whether a table is of exactly these segments. */
export function isTableOf(found: readonly TableSource[], wanted: readonly TableSource[]): boolean {
  return (
    found.length === wanted.length &&
    wanted.every(({ from, to, identity }, at) => {
      const one = found[at];
      return one?.from === from && one.to === to && one.identity === identity;
    })
  );
}
