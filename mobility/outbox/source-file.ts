// What a mobility service knows of its machine over restarts: DATA/source.json, replaced as a whole.
import { z } from 'zod';
import { readSealedJson, writeSealedJson } from '../../core/atomic-file.ts';
import { HomewardError } from '../../core/errors.ts';
import { formatSize } from '../../core/units.ts';

export interface SourceDisk {
  name: string;
  /** Bytes. */
  size: number;
}

/** What a clean stop leaves: the sequence of records is whole up to `head`. */
export interface CleanStop {
  head: number;
  /** The first LSN that lies in the outbox's directory; `head` + 1 when there is none. */
  heldFrom: number;
}

export interface SourceState {
  /** UUID, made at the first start. */
  machine: string;
  name: string;
  /** In the order of their numbers in records. */
  disks: SourceDisk[];
  /** Of the newest sync; 0 before the first. */
  generation: number;
  /** No LSN above this was ever given. */
  reservedTo: number;
  /** Microseconds: when this was written, which is no later than the newest record below `reservedTo`. */
  time: number;
  /** Null while the service runs, and after anything but a clean stop of a whole sequence. */
  clean: CleanStop | null;
  /** The highest position of that master target that was told: older changes may have left the dirty map. */
  told: number;
  /** Host id of the master target whose copy the dirty map speaks of; null before the first sync. */
  target: string | null;
  /** An initial sync has ended once. */
  synced: boolean;
}

const format = 'homeward source';
const count = z.number().int().nonnegative();

const schema: z.ZodType<SourceState> = z.object({
  machine: z.uuid(),
  name: z.string(),
  disks: z.array(z.object({ name: z.string(), size: count })),
  generation: count,
  reservedTo: count,
  time: count,
  clean: z.object({ head: count, heldFrom: count }).nullable(),
  told: count,
  target: z.string().nullable(),
  synced: z.boolean(),
});

/** The state of a machine that was never protected. */
export function newSourceState(name: string, disks: readonly SourceDisk[]): SourceState {
  return {
    machine: crypto.randomUUID(),
    name,
    disks: [...disks],
    generation: 0,
    reservedTo: 0,
    time: 0,
    clean: null,
    told: 0,
    target: null,
    synced: false,
  };
}

/** Null when there is no such file; 'damaged' when it is not what was written. */
export function readSourceFile(file: string): SourceState | null {
  const body = readSealedJson(file, format);
  if (body === null) return null;
  const { data, error } = schema.safeParse(body);
  if (error) throw new HomewardError('damaged', `${file} does not hold what it should`, { cause: error });
  return data;
}

/** Durable when it returns. */
export function writeSourceFile(file: string, state: SourceState): void {
  writeSealedJson(file, format, state);
}

export interface DiskPlan {
  /** In the order of their numbers: those known before, then new ones as given. */
  disks: SourceDisk[];
  /** Names of disks that are new or larger than before; empty for the usual start. */
  grown: string[];
}

/**
 * Matches the disks given with those known. One that is missing or smaller than before is 'machine-differs'.
 */
export function planDisks(known: readonly SourceDisk[], given: readonly SourceDisk[]): DiskPlan {
  const names = new Set(given.map(({ name }) => name));
  if (names.size < given.length) throw new HomewardError('usage', 'two disks have the same name');
  const disks = known.map((disk) => {
    const now = given.find(({ name }) => name === disk.name);
    if (now === undefined) throw missing(disk);
    if (now.size < disk.size) throw smaller(disk, now);
    return now;
  });
  const added = given.filter(({ name }) => known.every((disk) => disk.name !== name));
  const larger = disks.filter(({ size }, index) => size > (known[index]?.size ?? 0));
  return { disks: [...disks, ...added], grown: [...larger, ...added].map(({ name }) => name) };
}

function missing({ name, size }: SourceDisk): HomewardError {
  return new HomewardError('machine-differs', `disk ${name} of ${describeSize(size)} is not given any more`, {
    hint: `Give --disk ${name}=PATH as before; to protect without it, use another --data directory.`,
  });
}

function smaller(known: SourceDisk, now: SourceDisk): HomewardError {
  const message = `disk ${known.name} has ${describeSize(now.size)}; it had ${describeSize(known.size)}`;
  return new HomewardError('machine-differs', message, {
    hint: 'Check the path; to protect the smaller disk as a new machine, use another --data directory.',
  });
}

const describeSize = (bytes: number): string => `${formatSize(bytes)} (${bytes} bytes)`;
