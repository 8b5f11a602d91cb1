// The plain model the extent index is checked against: for each cell of a small address space, who wrote it
// last.
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { wholeMachine } from '../../core/extents/address.ts';
import { buildTable } from '../../core/extents/build.ts';
import { ContentKind, type ExtentColumns } from '../../core/extents/extent-columns.ts';
import { ExtentList } from '../../core/extents/extent-list.ts';
import type { ExtentPages, Layers } from '../../core/extents/extent-pages.ts';
import type { ExtentTable } from '../../core/extents/extent-table.ts';
import { PageCache } from '../../core/extents/page-cache.ts';
import { PagedTable } from '../../core/extents/paged-table.ts';
import { writeTableFile } from '../../core/extents/table-file-writer.ts';
import type { TableSource } from '../../core/extents/table-file.ts';
import { limits } from '../../core/limits.ts';
import { Pieces } from '../../core/extents/pieces.ts';
import { resolve, resolveLayers } from '../../core/extents/resolve.ts';
import type { Random } from './random.ts';
import type { SimulatedFiles } from './simulated-files.ts';

export const cells = 48;

/** Where the small address space lies among the real addresses, and how large a cell is. */
export interface Place {
  base: number;
  cellBytes: number;
}

export const blocks: Place = { base: 4096, cellBytes: 4096 };

export const places: Record<string, Place> = {
  'at the start': { base: 0, cellBytes: 1 },
  'in blocks of 4 KiB': blocks,
  'at the end of the last disk': { base: wholeMachine.end - cells, cellBytes: 1 },
  'in sectors over two disks': { base: 127 * limits.diskBytes - 20 * 512, cellBytes: 512 },
};

/** One record: which cells, and what kind. */
export interface Write {
  from: number;
  to: number;
  kind: ContentKind;
}

export const anyWrite: fc.Arbitrary<Write> = fc
  .record({
    from: fc.nat(cells - 1),
    length: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: cells })),
    kind: fc.constantFrom(...Object.values(ContentKind)),
  })
  .map(({ from, length, kind }) => ({ from, to: Math.min(from + length, cells), kind }));

/** What a cell says: `segment/record/kind`, or `-` for nothing. */
export type Model = string[];

export const blank = (): Model => Array.from({ length: cells }, () => '-');

/**
 * Records of segment s have positions and LSN deltas made of their number, so that a swapped column shows.
 */
export function describe(segment: number, record: number, kind: number): string {
  return `${segment}/${record}/${kind}`;
}

export function writeModel(model: Model, write: Write, segment: number, record: number): void {
  model.fill(describe(segment, record, write.kind), write.from, write.to);
}

export const positionOf = (record: number): number => record * 64 + 32;

function pushWrite(list: ExtentList, place: Place, write: Write, segment: number, record: number): void {
  const { base, cellBytes } = place;
  const start = base + write.from * cellBytes;
  list.push(start, base + write.to * cellBytes, segment, positionOf(record), record, write.kind);
}

export function listOf(writes: readonly Write[], place: Place, segment = 0): ExtentList {
  const list = new ExtentList(4);
  writes.forEach((write, record) => pushWrite(list, place, write, segment, record));
  return list;
}

export function modelOf(writes: readonly Write[], segment = 0, model = blank()): Model {
  writes.forEach((write, record) => writeModel(model, write, segment, record));
  return model;
}

function describeExtent(columns: ExtentColumns, index: number): string {
  const { segment, position, lsnDelta, kind } = columns.extent(index);
  if (position !== positionOf(lsnDelta)) return 'mixed up';
  return describe(segment, lsnDelta, kind);
}

/**
 * Cells [from, to) as the pieces have them; says what is wrong when the pieces do not cover them one by one.
 */
export function cellsOf(pieces: Pieces, place: Place, from = 0, to = cells): Model {
  const model: Model = [];
  let at = place.base + from * place.cellBytes;
  pieces.forEach((start, end, columns, index) => {
    if (start !== at || end <= start) throw new Error(`piece [${start}, ${end}) comes after ${at}`);
    const says = columns ? describeExtent(columns, index) : '-';
    for (; at < end; at += place.cellBytes) model.push(says);
    if (at !== end) throw new Error(`piece ends at ${end}, inside a cell`);
  });
  if (at !== place.base + to * place.cellBytes) throw new Error(`pieces end at ${at}`);
  return model;
}

const pieces = new Pieces();

export function resolveCells(
  tables: readonly ExtentPages[],
  place: Place,
  from = 0,
  to = cells,
  firstLiveSegment = 0,
): Model {
  const { base, cellBytes } = place;
  resolve(tables, base + from * cellBytes, base + to * cellBytes, pieces, firstLiveSegment);
  return cellsOf(pieces, place, from, to);
}

export function resolveLayerCells(layers: Layers, place: Place, from = 0, to = cells): Model {
  const { base, cellBytes } = place;
  resolveLayers(layers, base + from * cellBytes, base + to * cellBytes, pieces);
  return cellsOf(pieces, place, from, to);
}

/** Each cell of the first model that says something about it. */
export function firstOf(models: readonly Model[]): Model {
  return blank().map((_, cell) => models.find((model) => model[cell] !== '-')?.[cell] ?? '-');
}

/** Sources for a table whose segments are 0 to `count` - 1. */
export function sourcesOf(count: number): TableSource[] {
  return Array.from({ length: count }, (_, at) => ({
    from: at * 100,
    to: at * 100 + 99,
    identity: `id-${at}`,
  }));
}

/** A table as a file of the simulated disk, opened. Segments are ordinals from `first` on. */
export function pagedCopy(
  files: SimulatedFiles,
  path: string,
  table: ExtentPages,
  { first = 0, segments = 1, cache = new PageCache(2) } = {},
): PagedTable {
  writeTableFile(files, path, table, { sources: sourcesOf(segments) }, (ordinal) => ordinal - first);
  const ordinals = Array.from({ length: segments }, (_, at) => first + at);
  const paged = PagedTable.tryOpen(files, files.open(path), ordinals, cache);
  if (paged === null) throw new Error(`${path} is not there`);
  return paged;
}

/** A table of `count` extents of one record each, some of which touch, with gaps and of random lengths. */
export function longTable(random: Random, count: number, segment = 0): ExtentTable {
  const list = new ExtentList(count);
  let at = 0;
  for (let record = 0; record < count; record++) {
    if (random.chance(0.7)) at += (1 + random.below(5)) * 512;
    const end = at + (1 + random.below(5)) * 512;
    list.push(at, end, segment, positionOf(record), record, ContentKind.data);
    at = end;
  }
  return buildTable(list);
}

/** Throws when what a table promises does not hold. */
export function checkTable(table: ExtentTable): void {
  let low = 0;
  for (const { start, end } of table.extents()) {
    if (start < low || end <= start) throw new Error(`[${start}, ${end}) comes after ${low}`);
    low = end;
  }
}

/** Throws where `t.strictSame` would go on, so that a failing case is made smaller. */
export function same(found: unknown, wanted: unknown, message = 'not the same'): void {
  assert.deepEqual(found, wanted, `${message}: ${JSON.stringify(found)} is not ${JSON.stringify(wanted)}`);
}

/** Checks a property; the seed is printed, so that a failure can be had again with SEED=. */
export async function holds<T>(
  t: { comment(text: string): void; pass(text: string): void },
  property: fc.IRawProperty<T>,
  numRuns: number,
): Promise<void> {
  const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 31);
  t.comment(`SEED=${seed}`);
  await fc.assert(property, { seed, numRuns });
  t.pass(`held in ${numRuns} cases`);
}
