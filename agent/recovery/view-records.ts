// The views that come back after a restart, in one file of the data directory.
import fs from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { readSealedJson, writeSealedJson } from '../../core/atomic-file.ts';
import { HomewardError, toHomewardError } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import type { Log } from '../../core/log.ts';

const format = 'homeward-views';

const recordSchema = z.object({
  id: z.string().regex(/^[0-9a-f]{8}$/),
  machine: z.object({ id: z.string(), name: z.string() }),
  lsn: z.number().int().nonnegative(),
  /** RFC 3339, or null when it is not known. */
  time: z.string().nullable(),
  /** As it turned out: a port is a number. */
  listen: z.string(),
  /** TLS was asked for. */
  tls: z.boolean(),
  /** Null for a view that cannot be written. */
  scratchBytes: z.number().int().positive().nullable(),
  expiresAt: z.string().nullable(),
});

export type ViewRecord = z.infer<typeof recordSchema>;

export class ViewRecords {
  readonly #file: string;
  #records: readonly ViewRecord[];
  /** The file was damaged: what it told of is not known. */
  readonly wereLost: boolean;

  constructor(data: string, log: Log) {
    this.#file = join(data, 'views.json');
    const records = readRecords(this.#file, log);
    this.wereLost = records === null;
    this.#records = records ?? [];
  }

  get all(): readonly ViewRecord[] {
    return this.#records;
  }

  /** Durable when it returns; nothing has changed when it throws. */
  add(record: ViewRecord): void {
    this.#save([...this.#records, record]);
  }

  /** False when there was none. */
  remove(id: string): boolean {
    const left = this.#records.filter((record) => record.id !== id);
    if (left.length === this.#records.length) return false;
    this.#save(left);
    return true;
  }

  #save(records: readonly ViewRecord[]): void {
    writeSealedJson(this.#file, format, records);
    this.#records = records;
  }
}

/** Null for a damaged file, which stops nothing else: it is set aside, and no view comes back. */
function readRecords(file: string, log: Log): ViewRecord[] | null {
  try {
    const { data, error } = z
      .array(recordSchema)
      .max(limits.views)
      .safeParse(readSealedJson(file, format) ?? []);
    if (data !== undefined) return data;
    throw new HomewardError('damaged', `${file}: ${z.prettifyError(error)}`);
  } catch (error) {
    const problem = toHomewardError(error);
    if (problem.code !== 'damaged') throw error;
    const aside = `${file}.damaged`;
    fs.renameSync(file, aside);
    log.error('views-damaged', {
      file,
      aside,
      error: problem,
      hint: 'No view is open: open each again with `homeward view M`.',
    });
    return null;
  }
}
