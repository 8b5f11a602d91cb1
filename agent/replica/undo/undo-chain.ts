// Which undo segments of those that were found join up to the cursor: a pure function over intervals.

/** A file whose name says (from, to]. */
export interface UndoPiece {
  from: number;
  to: number;
  /** `torn`: its end is missing, what is there can be used. `unreadable`: not even what it is of is known. */
  state: 'whole' | 'torn' | 'unreadable';
  /** For what is not whole: what is the matter, as a part of a sentence. */
  why: string;
}

/** Undo of (from, to] is gone: what lies below it can be known only where older undo has it. */
export interface UndoHole {
  from: number;
  to: number;
  why: string;
}

export interface UndoChain<T extends UndoPiece> {
  /** Oldest first; the last ends at the cursor, or begins there: then that step is open. */
  steps: T[];
  /** Oldest first. */
  holes: UndoHole[];
  /** Inside the interval of another, which wins: left over from a split or a merge. */
  contained: T[];
  /** What belongs nowhere: it overlaps others, or lies beyond the cursor. */
  stray: T[];
}

export function chainOf<T extends UndoPiece>(pieces: readonly T[], cursorLsn: number): UndoChain<T> {
  // First of all: what lies around the cursor was split and then rolled back in part, and would hide the
  // rest.
  const isBeyond = ({ from, to }: T): boolean => from > cursorLsn || (from < cursorLsn && to > cursorLsn);
  const within = pieces.filter((piece) => !isBeyond(piece));
  const { kept, contained, replaced } = withoutContained(within.filter(isUsable));
  const unreadable = within.filter((piece) => !isUsable(piece));
  const stray = [...replaced, ...pieces.filter((piece) => isUsable(piece) && isBeyond(piece))];
  const steps: T[] = [];
  const holes: UndoHole[] = [];
  const open = kept.find(({ from }) => from === cursorLsn);
  let low = cursorLsn;
  for (const piece of kept.toSorted((a, b) => b.to - a.to || a.from - b.from)) {
    if (piece === open) continue;
    if (piece.to > low) {
      stray.push(piece);
      continue;
    }
    if (piece.to < low) holes.unshift(holeBetween(piece.to, low, unreadable));
    steps.unshift(piece);
    low = piece.from;
  }
  const oldest = Math.min(...unreadable.map(({ from }) => from));
  if (oldest < low) holes.unshift(holeBetween(oldest, low, unreadable));
  const broken = open === undefined ? unreadable.find(({ from }) => from === cursorLsn) : undefined;
  if (open !== undefined) steps.push(open);
  // The replica is a mix up to its end, which is all that can be reached.
  if (broken !== undefined) holes.push({ from: broken.from, to: broken.to, why: broken.why });
  return { steps, holes, contained, stray };
}

const isUsable = ({ state }: UndoPiece): boolean => state !== 'unreadable';

/** A whole piece wins over what lies in it; a torn one only where that does not make up for all of it. */
function withoutContained<T extends UndoPiece>(
  pieces: readonly T[],
): { kept: T[]; contained: T[]; replaced: T[] } {
  const inside = (outer: T): T[] =>
    pieces.filter((piece) => piece !== outer && outer.from <= piece.from && piece.to <= outer.to);
  const replaced = pieces.filter((piece) => piece.state === 'torn' && makesUp(piece, inside(piece)));
  const contained = new Set(
    pieces.filter((piece) => !replaced.includes(piece)).flatMap((piece) => inside(piece)),
  );
  for (const piece of replaced) contained.delete(piece);
  const kept = pieces.filter((piece) => !contained.has(piece) && !replaced.includes(piece));
  return { kept, contained: [...contained], replaced };
}

/** Whether whole pieces join from one end of the interval to the other. */
function makesUp<T extends UndoPiece>({ from, to }: T, pieces: readonly T[]): boolean {
  const reached = new Set([from]);
  for (const piece of pieces.toSorted((a, b) => a.from - b.from)) {
    if (piece.state === 'whole' && reached.has(piece.from)) reached.add(piece.to);
  }
  return reached.has(to);
}

function holeBetween(from: number, to: number, unreadable: readonly UndoPiece[]): UndoHole {
  const broken = unreadable.find((piece) => piece.from < to && piece.to > from);
  return { from, to, why: broken?.why ?? 'its undo segment is missing' };
}
