// Writes a table file as its extents come, in memory that does not grow with them.
import { randomInt } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { assert, errnoOf } from '../errors.ts';
import type { Files } from '../files/files.ts';
import { limits } from '../limits.ts';
import { wholeMachine } from './address.ts';
import { ExtentColumns, type ContentKind } from './extent-columns.ts';
import type { ExtentPages } from './extent-pages.ts';
import { encodeTableFooter, encodeTableHeader, type TableMeta } from './table-file.ts';

/** The calls of `Files` that making a table file takes. */
export type TableMaking = Pick<Files, 'create' | 'write' | 'rename' | 'unlink' | 'close'>;

/** Pages that are written together. */
const pagesPerWrite = 64;

/** Extents come sorted and disjoint; without `finish` the file is no table. */
export class TableFileWriter {
  readonly #files: Pick<Files, 'write'>;
  readonly #fd: number;
  readonly #mark = randomInt(2 ** 32);
  readonly #sources: number;
  #page = ExtentColumns.private(limits.tablePageExtents);
  #inPage = 0;
  #count = 0;
  /** Where the last extent ends. */
  #low: number = wholeMachine.start;
  #unwritten: Uint8Array[];
  #position = 0;
  /** Of each page: start, end. 16 bytes for 15 KiB of extents. */
  #bounds: number[] = [];
  #crcs: number[] = [];

  /** `fd` is of an empty file. */
  constructor(files: Pick<Files, 'write'>, fd: number, meta: TableMeta) {
    this.#files = files;
    this.#fd = fd;
    this.#sources = meta.sources.length;
    this.#unwritten = [encodeTableHeader(meta, this.#mark)];
  }

  /** `source` is an index into `meta.sources`. */
  push(
    start: number,
    end: number,
    source: number,
    position: number,
    lsnDelta: number,
    kind: ContentKind,
  ): void {
    const at = this.#next(start, end, source);
    const page = this.#page;
    page.positions[at] = position;
    page.lsnDeltas[at] = lsnDelta;
    page.kinds[at] = kind;
    if (this.#inPage === page.capacity) this.#endPage();
  }

  /** The piece [start, end) of extent `index` of `columns`, which belongs to `source`. */
  pushPiece(start: number, end: number, source: number, columns: ExtentColumns, index: number): void {
    const { positions, lsnDeltas, kinds } = columns;
    this.push(start, end, source, positions[index]!, lsnDeltas[index]!, kinds[index]! as ContentKind);
  }

  /** Writes what is left; returns the size of the file. Nothing is synced. */
  finish(): number {
    if (this.#inPage > 0) {
      const last = ExtentColumns.private(this.#inPage);
      last.copy(this.#page, 0, this.#inPage, 0);
      this.#page = last;
      this.#endPage();
    }
    const pages = this.#crcs.length;
    const index = new ArrayBuffer(pages * 20);
    new Float64Array(index, 0, pages).set(this.#bounds.filter((_, at) => at % 2 === 0));
    new Float64Array(index, pages * 8, pages).set(this.#bounds.filter((_, at) => at % 2 === 1));
    new Uint32Array(index, pages * 16, pages).set(this.#crcs);
    const bytes = new Uint8Array(index);
    this.#unwritten.push(bytes, encodeTableFooter(this.#count, crc32(bytes), this.#mark));
    this.#write();
    return this.#position;
  }

  #next(start: number, end: number, source: number): number {
    assert(start >= this.#low && end > start && end <= wholeMachine.end, 'extents of a table are in order');
    assert(source >= 0 && source < this.#sources, 'each extent of a table is of one of its sources');
    this.#low = end;
    this.#count++;
    const at = this.#inPage++;
    this.#page.starts[at] = start;
    this.#page.ends[at] = end;
    this.#page.segments[at] = source;
    return at;
  }

  #endPage(): void {
    const { starts, ends, buffer, capacity } = this.#page;
    const bytes = new Uint8Array(buffer);
    this.#bounds.push(starts[0]!, ends[capacity - 1]!);
    this.#crcs.push(crc32(bytes));
    this.#unwritten.push(bytes);
    this.#page = ExtentColumns.private(limits.tablePageExtents);
    this.#inPage = 0;
    if (this.#unwritten.length >= pagesPerWrite) this.#write();
  }

  #write(): void {
    this.#files.write(this.#fd, this.#unwritten, this.#position);
    for (const { length } of this.#unwritten) this.#position += length;
    this.#unwritten = [];
  }
}

/**
 * Makes the table file `path` of what `fill` pushes, under a temporary name first; replaces an older one.
 * Returns its size. When it fails nothing is left of it, if that can be had.
 */
export function createTableFile(
  files: TableMaking,
  path: string,
  meta: TableMeta,
  fill: (writer: TableFileWriter) => void,
): number {
  const temporary = `${path}.new`;
  unlinkIfThere(files, temporary);
  const fd = files.create(temporary);
  let bytes = 0;
  try {
    const writer = new TableFileWriter(files, fd, meta);
    fill(writer);
    bytes = writer.finish();
  } catch (error) {
    files.close(fd);
    unlinkIfThere(files, temporary);
    throw error;
  }
  files.close(fd);
  files.rename(temporary, path);
  return bytes;
}

/** The same for a table; `mapSegment` gives the index into `meta.sources` for a segment's ordinal. */
export function writeTableFile(
  files: TableMaking,
  path: string,
  table: ExtentPages,
  meta: TableMeta,
  mapSegment: (ordinal: number) => number,
): number {
  return createTableFile(files, path, meta, (writer) => {
    for (let at = 0; at < table.pageCount; at++) {
      const { columns, count } = table.page(at);
      const { starts, ends, segments } = columns;
      for (let index = 0; index < count; index++) {
        writer.pushPiece(starts[index]!, ends[index]!, mapSegment(segments[index]!), columns, index);
      }
    }
  });
}

function unlinkIfThere(files: TableMaking, path: string): void {
  try {
    files.unlink(path);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
}
