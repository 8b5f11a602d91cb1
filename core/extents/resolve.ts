// Finds which extents hold the content of an address interval, over tables laid one upon the other.
import type { ExtentColumns } from './extent-columns.ts';
import type { ExtentList } from './extent-list.ts';
import type { ExtentPages, Layers } from './extent-pages.ts';
import { Pieces } from './pieces.ts';

/**
 * Fills `pieces` with what [start, end) consists of: per extent, the newest redo above the floor, else the
 * oldest undo, else a piece without columns. No memory is taken for tables in memory unless `pieces` has to
 * grow. A page of a file that is damaged comes out as `DerivedDamaged`, with `pieces` filled in part.
 */
export function resolveLayers(layers: Layers, start: number, end: number, pieces: Pieces): Pieces {
  const { segment, lsnDelta } = layers.floor;
  return begin(null, layers.redo, layers.undo, start, end, pieces, segment, lsnDelta);
}

/**
 * The same of redo alone: `tables` come newest first, and extents of segments before `firstLiveSegment` are
 * gone and come out as holes.
 */
export function resolve(
  tables: readonly ExtentPages[],
  start: number,
  end: number,
  pieces: Pieces,
  firstLiveSegment = 0,
): Pieces {
  return begin(null, tables, none, start, end, pieces, firstLiveSegment, -1);
}

/** The same with a list of still newer extents on top, the last of them the newest. */
export function resolveOver(
  list: ExtentList | null,
  tables: readonly ExtentPages[],
  start: number,
  end: number,
  pieces: Pieces,
  firstLiveSegment: number,
): Pieces {
  return begin(list, tables, none, start, end, pieces, firstLiveSegment, -1);
}

const none: readonly ExtentPages[] = [];

/**
 * The look-up under way: nothing in it waits, so one serves the thread. Layers count through redo and then
 * undo. Gaps come to a layer in address order, so its next search need not look before the page and the
 * index where the last one ended.
 */
const search = {
  redo: none,
  undo: none,
  pieces: new Pieces(),
  floorSegment: 0,
  floorDelta: -1,
  pageHints: new Int32Array(64),
  indexHints: new Int32Array(64),
};

function begin(
  list: ExtentList | null,
  redo: readonly ExtentPages[],
  undo: readonly ExtentPages[],
  start: number,
  end: number,
  pieces: Pieces,
  floorSegment: number,
  floorDelta: number,
): Pieces {
  pieces.clear();
  if (!(start < end)) return pieces;
  const layers = redo.length + undo.length;
  search.redo = redo;
  search.undo = undo;
  search.pieces = pieces;
  search.floorSegment = floorSegment;
  search.floorDelta = floorDelta;
  if (search.pageHints.length < layers) {
    search.pageHints = new Int32Array(layers * 2);
    search.indexHints = new Int32Array(layers * 2);
  }
  search.pageHints.fill(0, 0, layers);
  search.indexHints.fill(-1, 0, layers);
  if (list === null) searchLayers(0, start, end);
  else searchList(list, list.count - 1, start, end);
  search.redo = none;
  search.undo = none;
  return pieces;
}

function searchList(list: ExtentList, newest: number, start: number, end: number): void {
  const { starts, ends } = list.columns;
  for (let index = newest; index >= 0; index--) {
    const from = starts[index]!;
    const to = ends[index]!;
    if (from >= end || to <= start) continue;
    if (from > start) searchList(list, index - 1, start, from);
    search.pieces.push(Math.max(from, start), Math.min(to, end), list.columns, index);
    if (to >= end) return;
    start = to;
  }
  searchLayers(0, start, end);
}

/** Gives out all of [start, end), from this layer and those below it. */
function searchLayers(layer: number, start: number, end: number): void {
  const { redo, undo, pieces, pageHints, indexHints } = search;
  const undoLayer = redo.length;
  const layers = undoLayer + undo.length;
  for (; layer < layers; layer++) {
    const pages = layer < undoLayer ? redo[layer]! : undo[layer - undoLayer]!;
    const hint = pageHints[layer]!;
    let pageAt = pages.findPage(start, hint);
    let index = pageAt === hint ? indexHints[layer]! : -1;
    for (; pageAt < pages.pageCount; pageAt++, index = 0) {
      const page = pages.page(pageAt);
      const { columns, count } = page;
      const { starts } = columns;
      index = index < 0 ? page.find(start) : page.findAfter(index, start);
      while (index < count && starts[index]! < end) {
        const from = Math.max(starts[index]!, start);
        const to = Math.min(columns.ends[index]!, end);
        if (from > start) searchLayers(layer + 1, start, from);
        // What is older than an extent below the floor is below it too: no other redo needs to be searched.
        if (layer < undoLayer && isBelowFloor(columns, index)) searchLayers(undoLayer, from, to);
        else pieces.push(from, to, columns, index);
        start = to;
        if (start === end) break;
        index++;
      }
      // The next extent begins behind what is looked for, or there is nothing left to look for.
      if (index < count) break;
    }
    pageHints[layer] = pageAt;
    indexHints[layer] = index;
    if (start === end) return;
  }
  pieces.push(start, end, null, 0);
}

function isBelowFloor({ segments, lsnDeltas }: ExtentColumns, index: number): boolean {
  const segment = segments[index]!;
  if (segment !== search.floorSegment) return segment < search.floorSegment;
  return lsnDeltas[index]! <= search.floorDelta;
}
