// Which segments go when room is needed, and which machines have to wait for room: pure decisions.
import type { RoomState } from '../../core/chain/messages.ts';

export interface RoomSegment {
  lastLsn: number;
  lastTime: number;
  bytes: number;
}

export interface RoomMachine {
  id: string;
  /** Oldest first, without the one being written. */
  segments: readonly RoomSegment[];
  /** All files of the spool. */
  bytes: number;
  /** Durable, and applied, at the master target. */
  target: number;
  applied: number;
  /** Nobody needs what lies up to here; at or above `target`. */
  useless: number;
  room: RoomState;
}

export interface RoomQuestion {
  machines: readonly RoomMachine[];
  /** What all spools together may take. */
  limitBytes: number;
  /** Free on the volume, and what has to stay free. */
  freeBytes: number;
  reserveBytes: number;
  segmentBytes: number;
}

export interface RoomPlan {
  /** Segments that end at or below `lsn` go. */
  drop: { id: string; lsn: number }[];
  rooms: Map<string, RoomState>;
}

/**
 * Room is made for `headroom`: four segments, or a twentieth of the limit. What goes first is the oldest
 * that is applied, then what is durable at the master target, then what nobody can use. Where none can be
 * made, machines that keep more than their share stop before the headroom is used up: something is left for
 * the others.
 */
export function planRoom(question: RoomQuestion): RoomPlan {
  const { machines, limitBytes, freeBytes, reserveBytes, segmentBytes } = question;
  const used = machines.reduce((sum, { bytes }) => sum + bytes, 0);
  const headroom = Math.max(4 * segmentBytes, Math.floor(limitBytes / 20));
  const budget = Math.min(limitBytes - used, freeBytes - reserveBytes);
  const { drop, freed } = chooseDrops(machines, headroom - budget);
  const left = budget + freed;
  const share = limitBytes / Math.max(1, machines.length);
  const rooms = new Map<string, RoomState>();
  for (const machine of machines) {
    const isOver = machine.bytes - droppable(machine) > share;
    rooms.set(machine.id, roomOf({ left, headroom, segmentBytes, isOver, was: machine.room }));
  }
  return { drop, rooms };
}

interface RoomOf {
  left: number;
  headroom: number;
  segmentBytes: number;
  /** It keeps more than its share of the spool, so others come first. */
  isOver: boolean;
  was: RoomState;
}

function roomOf({ left, headroom, segmentBytes, isOver, was }: RoomOf): RoomState {
  const fullBelow = isOver ? (headroom * 3) / 4 : segmentBytes;
  // Once full it takes a little more before it goes on, so that it does not change with every segment.
  const full = was === 'full' ? fullBelow + segmentBytes / 2 : fullBelow;
  if (left < full) return 'full';
  return left < (isOver ? headroom : headroom / 2) ? 'slow' : 'ok';
}

type Candidate = RoomSegment & { id: string; rank: number };

function chooseDrops(
  machines: readonly RoomMachine[],
  need: number,
): { drop: RoomPlan['drop']; freed: number } {
  if (need <= 0) return { drop: [], freed: 0 };
  const candidates = machines.flatMap((machine) =>
    machine.segments.flatMap((segment): Candidate[] => {
      const rank = rankOf(machine, segment);
      return rank === null ? [] : [{ ...segment, id: machine.id, rank }];
    }),
  );
  candidates.sort((a, b) => a.rank - b.rank || a.lastTime - b.lastTime || a.lastLsn - b.lastLsn);
  const upTo = new Map<string, number>();
  let freed = 0;
  for (const { id, lastLsn, bytes } of candidates) {
    if (freed >= need) break;
    upTo.set(id, lastLsn);
    freed += bytes;
  }
  return { drop: [...upTo].map(([id, lsn]) => ({ id, lsn })), freed };
}

/** The lower, the earlier a segment goes; null: never. */
function rankOf({ target, applied, useless }: RoomMachine, { lastLsn }: RoomSegment): number | null {
  if (lastLsn <= Math.min(applied, target)) return 0;
  if (lastLsn <= target) return 1;
  return lastLsn <= useless ? 2 : null;
}

const droppable = (machine: RoomMachine): number =>
  machine.segments.reduce((sum, segment) => sum + (rankOf(machine, segment) === null ? 0 : segment.bytes), 0);
