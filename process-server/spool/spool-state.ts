// spool.json: what a spool knows beside its records, sealed and written atomically.
import path from 'node:path';
import { z } from 'zod';
import { readSealedJson, writeSealedJson } from '../../core/atomic-file.ts';
import { HomewardError } from '../../core/errors.ts';

const lsn = z.number().int().nonnegative();

const stateSchema = z.object({
  /** What was durable here; newer records may be there. */
  spooled: lsn,
  /** Durable, and applied, at the master target as of its last acknowledgement. */
  target: lsn,
  applied: lsn,
  /** The highest generation seen. */
  generation: lsn,
  /** Everything up to here may be gone. */
  prunedTo: lsn,
  /** The highest `target` that a source was told. */
  told: lsn,
  /** The syncs in the spool, oldest first. */
  jumps: z.array(z.object({ lsn, covers: lsn, base: z.exactOptional(lsn.nullable()) })),
  /** Records that were passed on as `unknown`, and that no sync has made up for yet. */
  lost: z.array(z.object({ from: lsn, to: lsn, reason: z.string() })),
  /** A sync that the source is to begin; `keep`: also when a master target comes that could do without. */
  resync: z.object({ reason: z.string(), full: z.boolean(), keep: z.boolean() }).nullable(),
});

export type SpoolState = z.infer<typeof stateSchema>;

const format = 'homeward spool';

export const emptyState = (): SpoolState => ({
  spooled: 0,
  target: 0,
  applied: 0,
  generation: 0,
  prunedTo: 0,
  told: 0,
  jumps: [],
  lost: [],
  resync: null,
});

const fileIn = (directory: string): string => path.join(directory, 'spool.json');

/** Null when there is none. Throws 'damaged'. */
export function readSpoolState(directory: string): SpoolState | null {
  const body = readSealedJson(fileIn(directory), format);
  if (body === null) return null;
  const { data, error } = stateSchema.safeParse(body);
  if (error !== undefined) {
    const message = `${fileIn(directory)}: ${z.prettifyError(error)}`;
    throw new HomewardError('damaged', message, { cause: error });
  }
  return data;
}

export function writeSpoolState(directory: string, state: SpoolState): void {
  writeSealedJson(fileIn(directory), format, state);
}

/** What a damaged one is called once it is out of the way. */
export const damagedStateName = 'spool.json.damaged';
