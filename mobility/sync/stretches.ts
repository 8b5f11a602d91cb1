// Regions of the dirty map as the stretches of disk that a sync goes through.
import { regionBytes, type Region } from '../capture/captured-disks.ts';

/** [start, end) of a disk, in bytes. */
export interface Stretch {
  disk: number;
  start: number;
  end: number;
}

/** Neighbouring regions joined, in address order; the last one of a disk ends with it. */
export function stretchesOf(regions: readonly Region[], disks: readonly { size: number }[]): Stretch[] {
  const stretches: Stretch[] = [];
  for (const { disk, index } of regions) {
    const start = index * regionBytes;
    const end = Math.min(start + regionBytes, disks[disk]?.size ?? 0);
    const last = stretches.at(-1);
    if (last !== undefined && last.disk === disk && last.end === start) last.end = end;
    else stretches.push({ disk, start, end });
  }
  return stretches;
}

export function stretchBytes(stretches: readonly Stretch[]): number {
  return stretches.reduce((sum, { start, end }) => sum + end - start, 0);
}

/** Regions of a stretch that end in (from, to]: those done when everything up to `to` is. */
export function* regionsEnding({ disk, end }: Stretch, from: number, to: number): Generator<Region> {
  const last = to === end ? Math.ceil(to / regionBytes) : Math.floor(to / regionBytes);
  for (let index = Math.floor(from / regionBytes); index < last; index += 1) yield { disk, index };
}
