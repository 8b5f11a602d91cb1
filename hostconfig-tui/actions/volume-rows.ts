// Volumes as rows of a list: what can be chosen, and why the others cannot.
import type { JudgedVolume } from '../../agent/prerequisites/client.ts';
import { printable } from '../../core/printable.ts';
import { formatSize } from '../../core/units.ts';
import type { ListRow } from '../model/field.ts';

export const volumeRows = (volumes: readonly JudgedVolume[]): ListRow[] =>
  volumes.map(({ mountPoint, fileSystem, freeBytes, totalBytes, reason }) => ({
    text: printable(mountPoint),
    detail:
      reason === null
        ? `${fileSystem}, ${formatSize(freeBytes)} free of ${formatSize(totalBytes)}`
        : `not eligible: ${withoutPlace(reason, mountPoint)}`,
    value: reason === null ? mountPoint : null,
  }));

/** The row begins with the place already. */
const withoutPlace = (reason: string, place: string): string =>
  printable(reason.startsWith(`${place} `) ? reason.slice(place.length + 1) : reason);
