// Lends what redo shows at a moment: tables and segments, held until they are released.
import type { Files } from '../../core/files/files.ts';
import { ExtentTable } from '../../core/extents/extent-table.ts';
import { tryReadTableMeta, type TableFiles } from '../../core/extents/table-file.ts';
import type { PrefixTable } from '../../core/extents/levelled-index.ts';
import type { Segment } from '../../core/segment-log/segment.ts';
import type { LayerSource, LentRedo } from '../replica/undo/undo-step.ts';
import type { LayersPlan, PlannedLayer } from './plan-layers.ts';
import type { RedoIndex } from './redo-index.ts';
import type { RedoTables } from './redo-tables.ts';
import { unknownTable } from './reindex.ts';

/** What a view reads redo of (base, lsn] from; everything in it is held until `release`. */
export interface RedoLayers {
  /** Newest first. */
  redo: LayerSource[];
  /** Hides what lies at or below base. */
  floor: { segment: number; lsnDelta: number };
  /** Those that hold records of (base, lsn], oldest first. */
  segments: LentRedo[];
  release(): void;
}

export interface Lenders {
  files: Pick<Files, 'open' | 'close'> & TableFiles;
  index: RedoIndex;
  tables: RedoTables;
}

/** Segments of which records are read, which stay as they are until `release`; it may be called again. */
export function lendSegments(segments: readonly Segment[]): { redo: LentRedo[]; release(): void } {
  for (const segment of segments) segment.users += 1;
  let isHeld = true;
  return {
    redo: segments.map(({ ordinal, fd, path, firstLsn, precededBy, lastLsn, end }) => {
      return { ordinal, fd, path, firstLsn, precededBy, lastLsn, end };
    }),
    release() {
      if (isHeld) for (const segment of segments) segment.users -= 1;
      isHeld = false;
    },
  };
}

export function lendLayers(lenders: Lenders, plan: LayersPlan<Segment>): RedoLayers {
  const open: number[] = [];
  const lent = lendSegments(plan.segments);
  const release = (): void => {
    lent.release();
    for (const fd of open.splice(0)) lenders.files.close(fd);
  };
  try {
    const redo = plan.layers.flatMap((layer) => sourcesOf(lenders, layer, plan, open));
    return { redo, floor: plan.floor, segments: lent.redo, release };
  } catch (error) {
    release();
    throw error;
  }
}

function sourcesOf(
  lenders: Lenders,
  layer: PlannedLayer<Segment>,
  plan: LayersPlan<Segment>,
  open: number[],
): LayerSource[] {
  const { index } = lenders;
  switch (layer.kind) {
    case 'head':
      return index.headTables().filter(hasExtents).map(inMemory);
    case 'prefix':
      return index.prefixTables(layer.end).flatMap((table) => prefixSources(lenders, table, plan, open));
    case 'table':
      return [tableSource(lenders, layer.segment, open)];
    case 'scan':
      return [scanOf(layer.segment, layer.afterLsn, layer.lsn)];
    case 'unknown':
      return [inMemory(unknownTable(layer.ordinal))];
  }
}

/**
 * A node in a file that has gone, or is of others, or one of a single segment, is shown by the tables of its
 * segments.
 */
function prefixSources(
  lenders: Lenders,
  table: PrefixTable,
  { segments }: LayersPlan<Segment>,
  open: number[],
): LayerSource[] {
  if (table instanceof ExtentTable) return table.count > 0 ? [inMemory(table)] : [];
  const { first, end, path } = table;
  const wanted = segments.filter(({ ordinal }) => ordinal >= first && ordinal < end);
  const fd = end - first > 1 && path !== '' ? tryOpen(lenders, path, first, wanted) : null;
  if (fd === null) {
    return wanted.toReversed().map((segment) => tableSource(lenders, segment, open));
  }
  open.push(fd);
  const ordinals = Array.from({ length: end - first }, (_, at) => first + at);
  return [{ kind: 'file', path, fd, ordinals }];
}

/** Null unless it is the file of these segments: it is made again with the index, after the next start. */
function tryOpen({ files }: Lenders, path: string, first: number, wanted: readonly Segment[]): number | null {
  let fd: number;
  try {
    fd = files.open(path);
  } catch {
    return null;
  }
  const sources = tryReadTableMeta(files, fd)?.sources ?? [];
  const isOf = ({ ordinal, precededBy, lastLsn, identity }: Segment): boolean => {
    const source = sources[ordinal - first];
    return source?.from === precededBy && source.to === lastLsn && source.identity === identity;
  };
  if (wanted.every(isOf)) return fd;
  files.close(fd);
  return null;
}

function tableSource({ index, tables }: Lenders, segment: Segment, open: number[]): LayerSource {
  const isSealed = segment.ordinal >= 0 && segment.ordinal < index.nextSegment;
  const file = isSealed ? tables.open(segment) : null;
  if (file === null) return scanOf(segment, segment.precededBy, segment.lastLsn);
  open.push(file.fd);
  return { kind: 'file', path: file.path, fd: file.fd, ordinals: [segment.ordinal] };
}

const scanOf = ({ ordinal }: Segment, afterLsn: number, lsn: number): LayerSource => ({
  kind: 'redo-scan',
  ordinal,
  afterLsn,
  lsn,
});

const inMemory = (table: ExtentTable): LayerSource => ({ kind: 'memory', table: table.transferable() });
const hasExtents = ({ count }: ExtentTable): boolean => count > 0;
