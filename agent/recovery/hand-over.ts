// What a hand-over would do, and why it may not: pure decisions over what is known of the machine.
import { formatTime } from '../../core/clock.ts';
import { HomewardError } from '../../core/errors.ts';
import type {
  HandOverPlan,
  HandOverRequest,
  HandOverTarget,
  PointSpan,
} from '../../core/registration/hand-over-words.ts';
import { microseconds } from '../../core/units.ts';
import type { Catalogue } from '../journal/catalogue.ts';
import type { Cursor } from '../replica/cursor.ts';
import { disksAt, type HandOver, type MachineFile, type ProtectedDisk } from '../replica/machine-file.ts';
import type { Boundary } from '../replica/points.ts';
import { refuseGivingUp } from '../retention/locks.ts';

/** What is known of a machine. */
export interface HandOverFacts {
  file: Readonly<MachineFile>;
  cursor: Readonly<Cursor>;
  /** A step of the cursor has not ended. */
  isStepOpen: boolean;
  durableLsn: number;
  catalogue: Pick<Catalogue, 'gaps' | 'tags'>;
  /** Where the dense window begins, and the points below. */
  denseLsn: number | null;
  kept: readonly Boundary[];
  /** What is asked for; null for where it is pinned. */
  at: number | null;
  /** Whether a point can be shown. */
  shows(lsn: number): boolean;
  /** Ids of open views. */
  views: readonly string[];
  /** Whatever else reads it, in words. */
  readers: readonly string[];
  /** Where it takes writes now. */
  listen: string | null;
  isSourceConnected: boolean;
  /** Microseconds. */
  now: number;
  timeOf(lsn: number): number | null;
  replicaPathOf(disk: ProtectedDisk): string;
}

/** Begun and not done: the state that it goes on from must not move. */
export const isUnderWay = (file: Readonly<MachineFile>): boolean =>
  file.handOver !== undefined && file.handOver.stage !== 'done';

/** The point that is held for it; null while none is under way. */
export const lsnUnderWay = (file: Readonly<MachineFile>): number | null =>
  isUnderWay(file) ? (file.handOver?.lsn ?? null) : null;

/** It belongs to somebody else, or is about to. */
export const isReleased = (file: Readonly<MachineFile>): boolean => file.handOver?.to.kind === 'release';

/** Throws 'released' for one that was given away. */
export function refuseReleased({ name, handOver }: Readonly<MachineFile>): void {
  if (handOver?.to.kind !== 'release') return;
  const what = `${name} was released to ${handOver.to.name} at lsn:${handOver.lsn}: its history has ended`;
  throw new HomewardError('released', what);
}

/** Throws 'conflict' while it is handed over. */
export function refuseUnderWay(file: Readonly<MachineFile>): void {
  if (!isUnderWay(file) || file.handOver === undefined) return;
  const { name, handOver } = file;
  throw new HomewardError('conflict', `${name} is being handed over at lsn:${handOver.lsn}`, {
    hint: `Give the hand-over again to end it: homeward hand-over ${name} ${spellTarget(handOver.to)}`,
  });
}

/** Throws 'fenced' for what a source sends of a machine that does not belong to it any more. */
export function refuseFenced({ name, handOver }: Readonly<MachineFile>): void {
  if (handOver === undefined) return;
  const what = `${name} was handed over at lsn:${handOver.lsn}: its source is shut out`;
  throw new HomewardError('fenced', what, { hint: `End its protection: homeward unprotect ${name}` });
}

export const spellTarget = (to: HandOverTarget): string =>
  to.kind === 'run' ? `--run ${to.listen}` : `--release ${to.name}`;

/** The call was carried out before. */
export function isDone(
  { file: { handOver }, cursor, at }: Pick<HandOverFacts, 'file' | 'cursor' | 'at'>,
  to: HandOverTarget,
): boolean {
  if (handOver?.stage !== 'done' || handOver.to.kind !== 'run' || to.kind !== 'run') return false;
  if (at !== null && at !== handOver.lsn) return false;
  return handOver.to.listen === to.listen && cursor.pin === null;
}

/** Throws why the hand-over cannot be. */
export function planHandOver(facts: HandOverFacts, request: HandOverRequest): HandOverPlan {
  const { file, cursor, at } = facts;
  const { to } = request;
  const stage = stageOf(facts, to);
  const lsn = stage === 'new' ? (at ?? cursor.lsn) : (file.handOver?.lsn ?? cursor.lsn);
  if (stage === 'new') refuse(facts, request, lsn);
  const asked = [request.lsn ?? lsn, at ?? lsn].find((one) => one !== lsn);
  if (asked !== undefined)
    throw new HomewardError(
      'conflict',
      `${file.name} would go on from lsn:${lsn} now, not from lsn:${asked}`,
    );
  const isRelease = to.kind === 'release';
  return {
    machine: file.name,
    id: file.id,
    to,
    lsn,
    time: spell(facts.timeOf(lsn)),
    givesUp: isRelease ? pointsAfter(facts, lsn) : null,
    closes: isRelease ? pointsUpTo(facts, lsn) : null,
    source: sourceOf(facts),
    disks: file.disks.map((disk) => ({
      name: disk.name,
      size: disk.size,
      replica: facts.replicaPathOf(disk),
    })),
    stage,
  };
}

/** One that was begun is ended as it was begun; where it listens may be changed meanwhile. */
function stageOf(facts: HandOverFacts, to: HandOverTarget): HandOverPlan['stage'] {
  const { file } = facts;
  const known = file.handOver;
  if (isDone(facts, to)) return 'done';
  if (known === undefined || known.stage === 'done') return 'new';
  const isSame =
    known.to.kind === 'run' ? to.kind === 'run' : to.kind === 'release' && to.name === known.to.name;
  if (!isSame) refuseUnderWay(file);
  return 'resumes';
}

function refuse(facts: HandOverFacts, request: HandOverRequest, lsn: number): void {
  const { to, sourceIsOff, allowDamaged } = request;
  const { file, cursor, at } = facts;
  const { name } = file;
  if (at === null) refuseUnpinned(facts);
  else refuseMoment(facts, to, at);
  const then = disksAt(file, lsn);
  const isSame =
    then.length === file.disks.length && then.every(({ size }, disk) => size === file.disks[disk]?.size);
  if (!isSame)
    throw new HomewardError('conflict', `at lsn:${lsn} ${name} had other disks than it has now`, {
      hint: 'Recover that moment to raw:, qcow2:, vmdk: or block:, which makes the disks of then.',
    });
  // What is unknown of another moment is met when that is read.
  if (at === null && cursor.unknown.length > 0 && allowDamaged !== true)
    throw new HomewardError('damaged', `some content of ${name} at lsn:${lsn} is unknown`, {
      hint: `\`homeward verify ${name}\` lists it. Give --allow-damaged to hand it over all the same.`,
    });
  if (to.kind === 'release') refuseRelease(facts);
  else refuseSameAddress(facts, to.listen);
  if (facts.isSourceConnected && sourceIsOff !== true)
    throw new HomewardError('source-connected', `the source of ${name} is still connected`);
}

function refuseUnpinned({ file: { name }, cursor, isStepOpen }: HandOverFacts): void {
  if (cursor.pin === null)
    throw new HomewardError('conflict', `the replica of ${name} is not pinned`, {
      hint:
        `Bring it where it is to go on first: homeward recover ${name} --at WHEN --to in-place; ` +
        'or give --at WHEN with --run.',
    });
  if (isStepOpen || cursor.lsn !== cursor.pin)
    throw new HomewardError(
      'conflict',
      `the replica of ${name} is on its way to lsn:${cursor.pin}, where it is pinned`,
      { hint: 'Wait until it is there; `homeward status` shows how far it is.' },
    );
}

/** Replicas are given away as they stand; what runs here is read from wherever the moment lies. */
function refuseMoment({ file: { name }, shows }: HandOverFacts, to: HandOverTarget, at: number): void {
  if (to.kind === 'release')
    throw new HomewardError('usage', '--at goes with --run: replicas are given away where they are pinned', {
      hint: `Pin them there first: homeward recover ${name} --at WHEN --to in-place`,
    });
  if (!shows(at)) throw new HomewardError('outside-window', `lsn:${at} of ${name} has just left the window`);
}

/** Everything goes, so nobody may be reading, and nothing be promised. */
function refuseRelease({ file, views, readers, now }: HandOverFacts): void {
  const { name, locks = [] } = file;
  refuseGivingUp(name, locks, -1, now);
  if (views.length > 0)
    throw new HomewardError('conflict', `views of ${name} are open: ${views.join(', ')}`, {
      hint: `Close them first: homeward view close ${name} --all`,
    });
  const [reader] = readers;
  if (reader !== undefined)
    throw new HomewardError('conflict', `${name} is being read: ${reader}`, {
      hint: 'Wait until that has ended, then give the same command again.',
    });
}

/** What connects to an address of before is the source of before. */
function refuseSameAddress({ file, listen }: HandOverFacts, wanted: string): void {
  if (listen !== wanted) return;
  const what = `${file.name} takes the writes of its source on ${wanted}`;
  throw new HomewardError('conflict', what, {
    hint: 'Let it run on another address: the source would come back to this one.',
  });
}

function sourceOf({ file, isSourceConnected, listen }: HandOverFacts): HandOverPlan['source'] {
  const fencedBy =
    file.path === 'chain'
      ? `its records are refused from then on; end its protection: homeward unprotect ${file.name}`
      : `its ingest${listen === null ? '' : ` on ${listen}`} is closed, and opened to nobody who comes back`;
  return { path: file.path ?? 'ingest', connected: isSourceConnected, fencedBy };
}

function pointsAfter(facts: HandOverFacts, lsn: number): PointSpan | null {
  const { catalogue, durableLsn } = facts;
  const count = exactPoints(catalogue, lsn + 1, durableLsn);
  if (count === 0) return null;
  const tags = tagsOf(facts, (tag) => tag.lsn > lsn && tag.lsn <= durableLsn);
  return { count, from: momentOf(facts, lsn + 1), to: momentOf(facts, durableLsn), tags };
}

function pointsUpTo(facts: HandOverFacts, lsn: number): PointSpan | null {
  const { catalogue, denseLsn, kept } = facts;
  if (denseLsn === null) return null;
  const count = exactPoints(catalogue, denseLsn, lsn) + kept.length;
  const [oldest] = kept;
  const from = oldest === undefined ? momentOf(facts, denseLsn) : momentAt(oldest.lsn, oldest.time);
  const keptTags = kept.flatMap(({ lsn: at, time, tag }): PointSpan['tags'] =>
    tag === null ? [] : [{ lsn: at, time: spell(time), ...tag }],
  );
  const tags = tagsOf(facts, (tag) => tag.lsn >= denseLsn && tag.lsn <= lsn);
  return { count, from, to: momentOf(facts, lsn), tags: [...keptTags, ...tags] };
}

/** Points of the LSNs from `first` to `last`. */
function exactPoints({ gaps }: Pick<Catalogue, 'gaps'>, first: number, last: number): number {
  let count = Math.max(last - first + 1, 0);
  for (const { from, to } of gaps)
    count -= Math.max(Math.min(to ?? Infinity, last + 1) - Math.max(from, first), 0);
  return Math.max(count, 0);
}

function tagsOf({ catalogue }: HandOverFacts, isIn: (tag: { lsn: number }) => boolean): PointSpan['tags'] {
  return catalogue.tags
    .filter(isIn)
    .map(({ lsn, time, name, consistency }) => ({ lsn, time: spell(time), name, consistency }));
}

const momentOf = (facts: HandOverFacts, lsn: number): PointSpan['from'] => momentAt(lsn, facts.timeOf(lsn));
const momentAt = (lsn: number, time: number | null): PointSpan['from'] => ({ lsn, time: spell(time) });

const spell = (time: number | null): string | null => (time === null ? null : formatTime(microseconds(time)));

/** What is recorded first. */
export function handOverNote(
  { to, lsn, time }: Pick<HandOverPlan, 'to' | 'lsn' | 'time'>,
  allowDamaged: boolean,
  now: number,
): HandOver {
  return { to, lsn, time, begun: spell(now) ?? '', stage: 'begun', ...(allowDamaged && { allowDamaged }) };
}
