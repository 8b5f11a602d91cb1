// Reads views of a timeline world and compares them with the truth: exact bytes, or refused where that is
// due.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { ViewReader } from '../../agent/replica/view-reader.ts';
import { HomewardError } from '../../core/errors.ts';
import { Pieces } from '../../core/extents/pieces.ts';
import { addressOffset } from '../../core/extents/address.ts';
import type { Random } from './random.ts';
import { truthDiskBytes, truthDisks, type State } from './timeline-truth.ts';
import type { TimelineWorld } from './timeline-world.ts';

const pieceBytes = 512;

/** A view that stays open. Everything about it is read quietly. */
export class TimelineView {
  readonly lsn: number;
  readonly #world: TimelineWorld;
  readonly #reader: ViewReader;
  readonly #release: () => void;
  #refusal = '';

  constructor(world: TimelineWorld, lsn: number) {
    const held = world.hold(lsn);
    const content = world.mistake.content?.(held.content, world) ?? held.content;
    this.lsn = lsn;
    this.#world = world;
    this.#reader = new ViewReader(content, { files: world.io.files, waits: false });
    this.#release = held.release;
  }

  /** Throws unless it shows the state after its LSN; where `mayRefuse`, it may refuse anything. */
  check(mayRefuse: boolean): void {
    const state = this.#world.truth.stateAt(this.lsn);
    for (let disk = 0; disk < truthDisks; disk++) {
      const why = this.#difference(disk, state, mayRefuse);
      if (why !== null) throw new Error(`LSN ${this.lsn}, disk ${disk}: ${why} (${placesOf(this.#world)})`);
    }
  }

  close(): void {
    this.#reader.close();
    this.#release();
  }

  /** Its process has ended: nothing is given back. */
  abandon(): void {
    this.#reader.content.live?.port.close();
  }

  #difference(disk: number, state: State, mayRefuse: boolean): string | null {
    const found = Buffer.alloc(truthDiskBytes, 0xee);
    if (this.#tryRead(disk, 0, found)) return differenceOf(found, disk, 0, state, true);
    for (let at = 0; at < truthDiskBytes; at += pieceBytes) {
      const piece = found.subarray(at, at + pieceBytes);
      const isRead = this.#tryRead(disk, at, piece);
      if (!isRead && mayRefuse) continue;
      const why = differenceOf(piece, disk, at, state, isRead);
      if (why !== null) return isRead ? why : `${why}: ${this.#refusal}`;
    }
    return null;
  }

  /** False when it is refused as damaged. */
  #tryRead(disk: number, offset: number, target: Buffer): boolean {
    try {
      this.#reader.read(disk, offset, target);
      return true;
    } catch (error) {
      if (!(error instanceof HomewardError) || error.code !== 'damaged') throw error;
      this.#refusal = error.message;
      return false;
    }
  }
}

function differenceOf(found: Buffer, disk: number, at: number, state: State, isRead: boolean): string | null {
  const start = disk * truthDiskBytes + at;
  const isUnknown = state.unknown.subarray(start, start + found.length).includes(1);
  if (!isRead) return isUnknown ? null : `byte ${at} and on are refused`;
  if (isUnknown) return `bytes from ${at} on are shown, which nobody knows`;
  const wanted = state.bytes.subarray(start, start + found.length);
  if (wanted.equals(found)) return null;
  return `wrong from byte ${at + found.findIndex((byte, index) => byte !== wanted[index])} on`;
}

function placesOf({ cursor, undo, history, journal, kept }: TimelineWorld): string {
  const steps = undo.steps.map(({ from, to }) => `${from}-${to}`).join(' ');
  const open = history.timeline.open?.to ?? 'none';
  const { lsn, pruned, stepTo } = cursor;
  const places = `cursor ${lsn}, step to ${stepTo}, pruned ${pruned}, open ${open}, steps ${steps}`;
  return `${places}, head ${journal.headLsn}, kept ${[...kept].join(' ')}`;
}

/** Reads one LSN, which has to be there from the floor on and where it is kept. */
export function checkLsn(world: TimelineWorld, lsn: number): void {
  const isDense = lsn >= world.floorLsn && !world.history.timeline.isLeaving(lsn);
  const isDue = (isDense || world.kept.has(lsn)) && !world.isRotten;
  let view: TimelineView;
  try {
    view = new TimelineView(world, lsn);
  } catch (error) {
    const isGone = error instanceof HomewardError && ['outside-window', 'pruned'].includes(error.code);
    if (!isGone) throw error;
    if (isDue) throw new Error(`LSN ${lsn} is lost (${placesOf(world)})`, { cause: error });
    return;
  }
  try {
    view.check(world.isRotten || (!isDue && lsn < world.droppedBelow));
  } finally {
    view.close();
  }
}

/** Every LSN up to the head, views that are open, and the head itself. */
export function checkEverything(world: TimelineWorld): void {
  world.io.quietly(() => {
    world.truth.catchUp(world.journal.headLsn);
    for (let lsn = 0; lsn <= world.truth.head; lsn++) checkLsn(world, lsn);
    checkOpenViews(world);
    checkHead(world);
  });
}

export function checkOpenViews(world: TimelineWorld): void {
  for (const view of world.views) view.check(world.isRotten);
}

/** What no redo above the cursor has is in the replica, whatever is under way. */
export function checkHead({ journal, io, replicas, truth, isRotten }: TimelineWorld): void {
  if (isRotten) return;
  const { bytes, unknown } = truth.stateAt(truth.head);
  for (const [disk, fd] of replicas.entries()) {
    const pieces = journal.resolveHead(disk, 0, truthDiskBytes, new Pieces());
    const replica = Buffer.alloc(truthDiskBytes);
    io.files.readSync(fd, replica, 0);
    const below = disk * truthDiskBytes;
    for (let at = 0; at < pieces.count; at++) {
      if ((pieces.columns[at] ?? null) !== null) continue;
      const from = addressOffset(pieces.starts[at] ?? 0);
      const to = from + (pieces.ends[at] ?? 0) - (pieces.starts[at] ?? 0);
      const isKnown = !unknown.subarray(below + from, below + to).includes(1);
      if (isKnown && bytes.compare(replica, from, to, below + from, below + to) !== 0)
        throw new Error(
          `the head reads bytes ${from} to ${to} of disk ${disk} in the replica, and they differ`,
        );
    }
  }
}

/**
 * Watches every call: open views are read, and where other threads could ask for one, new views of some LSNs,
 * or of `all`.
 */
export function watchReads(world: TimelineWorld, random: Random, share: number): void {
  world.io.watch = (isApart) => {
    if (world.failure !== null) return;
    try {
      world.truth.catchUp(world.journal.headLsn);
      checkOpenViews(world);
      if (!isApart) return;
      checkHead(world);
      for (let lsn = 0; lsn <= world.truth.head; lsn++) if (random.chance(share)) checkLsn(world, lsn);
    } catch (error) {
      world.failure = new Error(`inside a step: ${String(error)}`, { cause: error });
    }
  };
}

/** Lets what was begun in the background come to its turn. */
export async function turns(count = 4): Promise<void> {
  for (let turn = 0; turn < count; turn++) await nextTurn();
}
