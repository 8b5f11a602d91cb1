// What of a machine its source can send again, since the newest moment lacks it, and the command for it.
import { limits } from '../../core/limits.ts';
import { machineAddress } from '../../core/extents/address.ts';
import type { DiskRange } from '../control/service.ts';
import type { DamagedPlace } from '../journal/catalogue.ts';

export interface OfferFacts {
  machine: string;
  disks: readonly { name: string; size: number }[];
  cursorLsn: number;
  /** Machine addresses of the replica whose content is unknown. */
  unknown: readonly (readonly [number, number])[];
}

/** Of the replica as it is, the extents whose content is lost: until they are written again. */
export function unknownExtents({ disks, unknown }: Pick<OfferFacts, 'disks' | 'unknown'>): DiskRange[] {
  return joined(
    disks.flatMap(({ name, size }, index) => {
      const base = machineAddress(index, 0);
      return unknown
        .map(([start, end]) => [Math.max(start - base, 0), Math.min(end - base, size)] as const)
        .filter(([start, end]) => start < end)
        .map(([start, end]) => ({ disk: name, start, end }));
    }),
  );
}

/**
 * The extents of a place that the newest moment is read from. Undo holds older content alone, which no source
 * has any more; redo that the cursor has passed is in the replica, as content or as unknown.
 */
export function extentsOf(place: DamagedPlace, { disks, cursorLsn }: OfferFacts): DiskRange[] {
  if (/\/undo\/[^/]*$/.test(place.file) || isBook(place.file)) return [];
  const isRedo = /\/redo\/[^/]*$/.test(place.file);
  if (isRedo && place.toLsn <= cursorLsn) return [];
  const { disk, start, end } = place;
  if (disk !== null && start !== null && end !== null) return [{ disk, start, end }];
  return isRedo ? disks.map(({ name, size }) => ({ disk: name, start: 0, end: size })) : [];
}

const isBook = (file: string): boolean => /\/(ledger|cursor|machine\.json[^/]*)$/.test(file);

/** All that the source should send again: what is damaged, and what is unknown already. */
export function extentsToResync(places: readonly DamagedPlace[], facts: OfferFacts): DiskRange[] {
  return joined([...places.flatMap((place) => extentsOf(place, facts)), ...unknownExtents(facts)]);
}

/** The command for these, or null when there are none. */
export function resyncCommand(machine: string, extents: readonly DiskRange[]): string | null {
  if (extents.length === 0) return null;
  if (extents.length > limits.resyncOffered) return `homeward resync ${machine} --damaged`;
  const flags = extents.map(({ disk, start, end }) => ` --extent ${disk}:${start}-${end}`).join('');
  return `homeward resync ${machine}${flags}`;
}

function joined(extents: readonly DiskRange[]): DiskRange[] {
  const result: DiskRange[] = [];
  const sorted = extents.toSorted((a, b) =>
    a.disk === b.disk ? a.start - b.start : a.disk < b.disk ? -1 : 1,
  );
  for (const extent of sorted) {
    const last = result.at(-1);
    if (last !== undefined && last.disk === extent.disk && extent.start <= last.end)
      last.end = Math.max(last.end, extent.end);
    else result.push({ ...extent });
  }
  return result;
}
