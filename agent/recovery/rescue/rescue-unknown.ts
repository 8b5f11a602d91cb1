// Which bytes of a view nothing is known of, found by looking up all of it; nothing is read but tables.
import { addressOffset, machineAddress } from '../../../core/extents/address.ts';
import { ContentKind } from '../../../core/extents/extent-columns.ts';
import { Pieces } from '../../../core/extents/pieces.ts';
import { GiB } from '../../../core/units.ts';
import type { DiskRange } from '../../control/service.ts';
import type { ViewContent } from '../../replica/view-content.ts';
import { ViewLayers } from '../../replica/view-layers.ts';
import { readOnlyFiles } from '../rescue-files.ts';

/** In order, and apart from each other. Payloads that are damaged are found when they are read. */
export function unknownRanges(content: ViewContent): DiskRange[] {
  const layers = new ViewLayers({ content, files: readOnlyFiles, log: null }, content.plan);
  const ranges: DiskRange[] = [];
  const pieces = new Pieces();
  for (const [index, { name, size }] of content.disks.entries())
    for (let offset = 0; offset < size; offset += GiB) {
      const start = machineAddress(index, offset);
      const end = start + Math.min(GiB, size - offset);
      layers.resolve(start, end, pieces).forEach((from, to, extent, at) => {
        if (extent === null)
          for (const [low, high] of content.plan.unknown)
            add(ranges, name, Math.max(low, from), Math.min(high, to));
        else if (extent.kinds[at] === ContentKind.unknown) add(ranges, name, from, to);
      });
    }
  return ranges;
}

function add(ranges: DiskRange[], disk: string, start: number, end: number): void {
  if (start >= end) return;
  const offset = addressOffset(start);
  const last = ranges.at(-1);
  if (last !== undefined && last.disk === disk && last.end === offset) last.end += end - start;
  else ranges.push({ disk, start: offset, end: offset + (end - start) });
}
