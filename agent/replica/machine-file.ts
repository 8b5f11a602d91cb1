// machine.json: who a machine is, what disks it has and where their replicas lie.
import { dirname } from 'node:path';
import { readSealedJson, writeSealedJson } from '../../core/atomic-file.ts';
import { HomewardError } from '../../core/errors.ts';
import type { HandOverTarget } from '../../core/registration/hand-over-words.ts';

/** A sparse file `<replicas>/<machine id>/<disk>.raw`, or a device by its /dev/disk/by-id name. */
export type ReplicaPlace = { kind: 'file' } | { kind: 'device'; byId: string };

export interface ProtectedDisk {
  name: string;
  /** Bytes. */
  size: number;
  replica: ReplicaPlace;
}

/** How its history is kept, where that was set for the machine; what is left out is as configured. */
export interface MachineRetention {
  windowMs?: number;
  /** Rules, as they are typed. */
  keep?: string;
  /** Of all its history; 0 is no bound. */
  maxBytes?: number;
  floorMs?: number;
}

/** Nothing that the point at `lsn` needs goes before `until`. Times are RFC 3339. */
export interface PointLock {
  lsn: number;
  until: string;
  /** When it was locked first. */
  since?: string;
  /** Of the point. */
  time?: string;
  name?: string;
}

/** The last moment before a mass encryption that was noticed. Times are RFC 3339. */
export interface SignalMark {
  lsn: number;
  /** Of the point. */
  time: string;
  name: string;
  kind: 'signal';
  /** When the encryption began, and ended; left out while it goes on. */
  since?: string;
  ended?: string;
  /** Of what was rewritten, the part that turned random. */
  share?: number;
}

/** Recorded before anything is done: from then on nothing of its source is taken. */
export interface HandOver {
  to: HandOverTarget;
  /** The point that it goes on from. */
  lsn: number;
  /** Of the point, RFC 3339; null when that is not known. */
  time: string | null;
  /** When it was begun, RFC 3339. */
  begun: string;
  /** What is damaged or unknown becomes zeros. */
  allowDamaged?: boolean;
  /** What its process server is shown, so that it refuses the source, too. */
  fence?: { generation: number; durable: number };
  /** `written`: of one that runs here, the newest state is the one at `lsn`, and its ingest is to open. */
  stage: 'begun' | 'written' | 'done';
}

export interface MachineFile {
  /** UUID. */
  id: string;
  name: string;
  /** RFC 3339. */
  created: string;
  disks: ProtectedDisk[];
  /** The first copy is under way: there are no points yet. */
  seeding: boolean;
  /** `chain`: its records come over the chain; else it takes direct ingest. */
  path?: 'chain' | 'ingest';
  /** The newest hand-over. */
  handOver?: HandOver;
  /** The dense window that its protection asks for, in milliseconds; `retention` goes before it. */
  windowMs?: number;
  retention?: MachineRetention;
  /** In LSN order, one for an LSN. */
  locks?: PointLock[];
  /** In LSN order, one for an LSN. */
  marks?: SignalMark[];
  /** Disks whose replica began as a copy of a seed, and has it whole. */
  seeded?: string[];
  /** Which disks it had before the LSN, in LSN order: a moment has the disks of its time. */
  before?: { lsn: number; disks: { name: string; size: number }[] }[];
}

/** The disks that a machine had at `lsn`. */
export function disksAt(
  { disks, before = [] }: Pick<MachineFile, 'disks' | 'before'>,
  lsn: number,
): readonly { name: string; size: number }[] {
  return before.find((past) => lsn < past.lsn)?.disks ?? disks;
}

const format = 'homeward-machine';

/** Where the content lies that `file` had before, and at first the same: a second chance for `file`. */
export const previousFile = (file: string): string => `${file}.previous`;

/**
 * The machine in `file`. When that is damaged or missing, the one in the file beside it, which `usedPrevious`
 * is told: what changes in it, beside `seeding`, which the journal knows better, is written twice.
 * 'damaged' when neither is to be had.
 */
export function readMachineFile(
  file: string,
  usedPrevious: (why: HomewardError) => void = () => undefined,
): MachineFile {
  try {
    return readOne(file);
  } catch (error) {
    if (!(error instanceof HomewardError)) throw error;
    const previous = tryReadOne(previousFile(file));
    if (previous === null) throw error;
    usedPrevious(error);
    return previous;
  }
}

/** Crash order: 1 the file beside it · 2 `file`. One of them is whole at any moment. */
export function writeMachineFile(file: string, machine: MachineFile): void {
  writeSealedJson(previousFile(file), format, tryReadOne(file) ?? machine);
  writeSealedJson(file, format, machine);
}

function readOne(file: string): MachineFile {
  try {
    const body = readSealedJson(file, format);
    if (body === null) throw new HomewardError('damaged', `${file} is missing`);
    if (!isMachineFile(body)) throw new HomewardError('damaged', `${file} does not describe a machine`);
    return body;
  } catch (error) {
    if (!(error instanceof HomewardError)) throw error;
    const hint =
      `Put back ${file} or ${previousFile(file)} from a copy, then start again. The other machines go on. ` +
      `Without a copy: move ${dirname(file)} off the volume; the machine can then be opened anew.`;
    throw new HomewardError('damaged', error.message, { cause: error, hint });
  }
}

function tryReadOne(file: string): MachineFile | null {
  try {
    return readOne(file);
  } catch {
    return null; // the error of the other file is the one that counts
  }
}

function isMachineFile(body: unknown): body is MachineFile {
  type Fields = Partial<Record<keyof MachineFile, unknown>>;
  const { id, name, disks, seeding, retention, locks, marks, handOver } = body as Fields;
  return (
    typeof id === 'string' &&
    typeof name === 'string' &&
    typeof seeding === 'boolean' &&
    Array.isArray(disks) &&
    disks.every(isDisk) &&
    (retention === undefined || isRetention(retention)) &&
    (locks === undefined || (Array.isArray(locks) && locks.every(isLock))) &&
    (marks === undefined || (Array.isArray(marks) && marks.every(isMark))) &&
    (handOver === undefined || isHandOver(handOver))
  );
}

function isRetention(value: unknown): value is MachineRetention {
  if (typeof value !== 'object' || value === null) return false;
  const { windowMs, keep, maxBytes, floorMs } = value as Partial<Record<keyof MachineRetention, unknown>>;
  const isAmount = (amount: unknown): boolean =>
    amount === undefined || (Number.isFinite(amount) && Number(amount) >= 0);
  return [windowMs, maxBytes, floorMs].every(isAmount) && (keep === undefined || typeof keep === 'string');
}

/** A lock that cannot be read must not be taken for none. */
function isLock(value: unknown): value is PointLock {
  if (typeof value !== 'object' || value === null) return false;
  const { lsn, until } = value as Partial<Record<keyof PointLock, unknown>>;
  return Number.isSafeInteger(lsn) && typeof until === 'string' && !Number.isNaN(Date.parse(until));
}

function isMark(value: unknown): value is SignalMark {
  if (typeof value !== 'object' || value === null) return false;
  const { lsn, time, name } = value as Partial<Record<keyof SignalMark, unknown>>;
  return Number.isSafeInteger(lsn) && typeof time === 'string' && typeof name === 'string';
}

/** One that cannot be read must not be taken for none: the replicas may be somebody else's. */
function isHandOver(value: unknown): value is HandOver {
  if (typeof value !== 'object' || value === null) return false;
  const { to, lsn, stage } = value as Partial<Record<keyof HandOver, unknown>>;
  if (typeof to !== 'object' || to === null) return false;
  const { kind, listen, name } = to as Partial<Record<'kind' | 'listen' | 'name', unknown>>;
  const isTarget =
    kind === 'run' ? typeof listen === 'string' : kind === 'release' && typeof name === 'string';
  return isTarget && Number.isSafeInteger(lsn) && stages.some((one) => one === stage);
}

const stages: readonly HandOver['stage'][] = ['begun', 'written', 'done'];

function isDisk(disk: unknown): disk is ProtectedDisk {
  const { name, size, replica } = disk as Partial<Record<keyof ProtectedDisk, unknown>>;
  return (
    typeof name === 'string' && Number.isSafeInteger(size) && typeof replica === 'object' && replica !== null
  );
}
