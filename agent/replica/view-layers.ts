// The layers of one plan, opened when they are first looked up; a derived table that is damaged gives way to
// what can be read from its sources.
import { assert } from '../../core/errors.ts';
import { DerivedDamaged } from '../../core/extents/derived-damaged.ts';
import { ContentKind } from '../../core/extents/extent-columns.ts';
import type { ExtentPages, Layers } from '../../core/extents/extent-pages.ts';
import { ExtentTable } from '../../core/extents/extent-table.ts';
import { PagedTable } from '../../core/extents/paged-table.ts';
import { Pieces } from '../../core/extents/pieces.ts';
import { resolveLayers } from '../../core/extents/resolve.ts';
import type { Files } from '../../core/files/files.ts';
import type { Log } from '../../core/log.ts';
import { scanRedo, scanUndo } from './view-scan.ts';
import type { LayerSource } from './undo/undo-step.ts';
import { firstUndoOrdinal, type ViewContent, type ViewPlan, type ViewSegment } from './view-content.ts';

type FileSource = Extract<LayerSource, { kind: 'file' }>;

interface Layer {
  source: LayerSource;
  pages: ExtentPages;
}

/** What all plans of a view have in common. */
export interface LayersOf {
  content: ViewContent;
  files: Files;
  log: Log | null;
}

export class ViewLayers {
  readonly segments: ReadonlyMap<number, ViewSegment>;
  readonly #of: LayersOf;
  readonly #floor: Layers['floor'];
  #redo: Layer[];
  #undo: Layer[];
  #layers: Layers;
  /** Layers of the plan before, by what they were made of, while those of this one are opened. */
  #before: ReadonlyMap<string, ExtentPages>;
  /** Files that turned out damaged. */
  readonly #unusable: Set<string>;

  /** What `before` has already is not opened, or made, again. */
  constructor(of: LayersOf, plan: ViewPlan, before: ViewLayers | null = null) {
    this.#of = of;
    this.segments = new Map(plan.segments.map((segment) => [segment.ordinal, segment]));
    this.#floor = plan.floor;
    this.#before = before === null ? new Map() : before.#made();
    this.#unusable = before === null ? new Set() : before.#unusable;
    this.#redo = plan.redo.flatMap((source) => this.#open(source));
    this.#undo = plan.undo.flatMap((source) => this.#open(source));
    this.#before = new Map();
    this.#layers = this.#asLayers();
  }

  resolve(start: number, end: number, pieces: Pieces): Pieces {
    return this.#withSound(() => resolveLayers(this.#layers, start, end, pieces));
  }

  /**
   * Whether undo of the newest step has something of [start, end), and nothing that is unknown. It was made
   * of whole blocks that fit their checksums then, right before the step began.
   */
  newestUndoKnows(start: number, end: number): boolean {
    return this.#withSound(() => {
      const newest = this.#undo.at(-1);
      if (newest === undefined) return false;
      const layers = { redo: [], floor: this.#floor, undo: [newest.pages] };
      return isKnown(resolveLayers(layers, start, end, new Pieces()));
    });
  }

  /** Begins `work` anew, without the table, whenever one turns out damaged. */
  #withSound<T>(work: () => T): T {
    for (;;) {
      try {
        return work();
      } catch (error) {
        if (!(error instanceof DerivedDamaged)) throw error;
        this.#replace(error.table);
      }
    }
  }

  /** A table turned out damaged: its sources take its place. */
  #replace(damaged: ExtentPages): void {
    const replaced = (layer: Layer): Layer[] =>
      layer.pages === damaged && layer.source.kind === 'file' ? this.#doWithout(layer.source) : [layer];
    this.#redo = this.#redo.flatMap(replaced);
    this.#undo = this.#undo.flatMap(replaced);
    this.#layers = this.#asLayers();
  }

  #asLayers(): Layers {
    const pages = (layers: readonly Layer[]): ExtentPages[] => layers.map((layer) => layer.pages);
    return { redo: pages(this.#redo), floor: this.#floor, undo: pages(this.#undo) };
  }

  #open(source: LayerSource): Layer[] {
    if (source.kind === 'memory') return [{ source, pages: ExtentTable.from(source.table) }];
    if (source.kind !== 'file') return [this.#scan(source)];
    const key = keyOf(source, this.segments);
    if (this.#unusable.has(key)) return this.#fromSources(source);
    const pages = this.#before.get(key) ?? PagedTable.tryOpen(this.#of.files, source.fd, source.ordinals);
    return pages === null ? this.#doWithout(source) : [{ source, pages }];
  }

  #doWithout(source: FileSource): Layer[] {
    this.#of.log?.warn('table-not-usable', { file: source.path });
    this.#unusable.add(keyOf(source, this.segments));
    return this.#fromSources(source);
  }

  /** One layer for each segment that the file is about: redo newest first, undo oldest first. */
  #fromSources(source: FileSource): Layer[] {
    // A table may be about older segments, too, which the floor hides.
    const segments = source.ordinals.flatMap((ordinal) => this.segments.get(ordinal) ?? []);
    const isUndo = (source.ordinals[0] ?? 0) >= firstUndoOrdinal;
    segments.sort((a, b) => (isUndo ? a.firstLsn - b.firstLsn : b.firstLsn - a.firstLsn));
    return segments.map(({ ordinal, precededBy, lastLsn: lsn }) =>
      this.#scan(
        isUndo ? { kind: 'undo-scan', ordinal } : { kind: 'redo-scan', ordinal, afterLsn: precededBy, lsn },
      ),
    );
  }

  #scan(source: Extract<LayerSource, { kind: 'redo-scan' | 'undo-scan' }>): Layer {
    const made = this.#before.get(keyOf(source, this.segments));
    if (made !== undefined) return { source, pages: made };
    const segment = this.#segment(source.ordinal);
    const { files, content } = this.#of;
    const pages =
      source.kind === 'redo-scan'
        ? scanRedo({ files, content }, segment, source)
        : scanUndo({ files, content }, segment);
    return { source, pages };
  }

  #segment(ordinal: number): ViewSegment {
    const segment = this.segments.get(ordinal);
    assert(segment !== undefined, 'a plan names the segments of its tables');
    return segment;
  }

  #made(): Map<string, ExtentPages> {
    const made = new Map<string, ExtentPages>();
    for (const { source, pages } of [...this.#redo, ...this.#undo])
      if (source.kind !== 'memory') made.set(keyOf(source, this.segments), pages);
    return made;
  }
}

function isKnown({ columns, indexes, count }: Pieces): boolean {
  let found = false;
  for (let at = 0; at < count; at++) {
    const extent = columns[at] ?? null;
    if (extent === null) continue;
    if (extent.kinds[indexes[at]!] === ContentKind.unknown) return false;
    found = true;
  }
  return found;
}

/** The same for sources that give the same extents; a segment that was healed is another file. */
function keyOf(
  source: Exclude<LayerSource, { kind: 'memory' }>,
  segments: ReadonlyMap<number, ViewSegment>,
): string {
  switch (source.kind) {
    case 'file':
      return `file ${source.fd} ${source.ordinals.join(' ')} ${source.path}`;
    case 'redo-scan':
      return `redo ${source.ordinal} ${source.afterLsn} ${source.lsn} ${segments.get(source.ordinal)?.fd}`;
    case 'undo-scan':
      return `undo ${source.ordinal}`;
  }
}
