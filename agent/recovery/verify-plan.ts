// What a verification looks at: its pieces in order, which of them belong to a part, and where to go on.
import { crc32 } from 'node:zlib';
import { limits } from '../../core/limits.ts';
import type { Segment } from '../../core/segment-log/segment.ts';
import type { UndoStep } from '../replica/undo/undo-step.ts';

/**
 * One piece: a file of redo or undo, or a stretch of a replica. `key` stays the same as long as the piece is
 * there, whatever comes and goes around it.
 */
export type Piece = { key: string; bytes: number } & (
  | { kind: 'undo'; step: UndoStep }
  | { kind: 'redo'; segment: Segment }
  | { kind: 'replica'; disk: number; start: number; end: number }
);

/** The place in a sweep: the piece that comes next, and how far into its file. */
export interface SweepPlace {
  key: string;
  at: number;
}

const places = { undo: 1, redo: 2, replica: 3 } as const;

const keyOf = (kind: keyof typeof places, ...numbers: number[]): string =>
  [places[kind], kind, ...numbers.map((number) => number.toString(16).padStart(16, '0'))].join(' ');

/** All of a machine's history; in the order of keys, which is oldest first. */
export function piecesOf(history: {
  segments: readonly Segment[];
  steps: readonly UndoStep[];
  disks: readonly { size: number; sums?: string | null }[];
}): Piece[] {
  const pieces: Piece[] = [];
  for (const step of history.steps)
    pieces.push({ kind: 'undo', key: keyOf('undo', step.from, step.to), bytes: step.bytes, step });
  for (const segment of history.segments)
    pieces.push({ kind: 'redo', key: keyOf('redo', segment.firstLsn), bytes: segment.end, segment });
  for (const [disk, { size, sums = null }] of history.disks.entries())
    for (let start = 0; sums !== null && start < size; start += limits.verifyStretchBytes) {
      const end = Math.min(start + limits.verifyStretchBytes, size);
      pieces.push({
        kind: 'replica',
        key: keyOf('replica', disk, start),
        bytes: end - start,
        disk,
        start,
        end,
      });
    }
  return pieces.sort((a, b) => (a.key < b.key ? -1 : 1));
}

/**
 * Part n of t. Each piece is in one part, and in the same one as long as it is there: the t runs look at
 * everything that is there all the while.
 */
export function inPart(piece: { key: string }, part: { n: number; of: number } | null): boolean {
  return part === null || crc32(piece.key) % part.of === part.n - 1;
}

/** What is left of a sweep that stopped at `place`, which may be gone; everything when it was at the end. */
export function restOfSweep(pieces: readonly Piece[], place: SweepPlace | null): Piece[] {
  const rest = place === null ? [] : pieces.filter(({ key }) => key >= place.key);
  return rest.length > 0 ? rest : [...pieces];
}
