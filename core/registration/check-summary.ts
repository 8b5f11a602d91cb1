// What a host says of its checks: the newest finding of each, in DATA/checks.json. `homeward check` writes
// it, since it sees the host as it is, outside of a daemon's sandbox; the daemon's heartbeats carry it on.
import fs from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { readSealedJson, writeSealedJson } from '../atomic-file.ts';
import { errnoOf, HomewardError } from '../errors.ts';
import { limits } from '../limits.ts';

const text = z.string().max(limits.controlTextBytes);

const checkedSchema = z.object({
  id: text,
  severity: z.enum(['hard', 'hard-unless-accepted', 'advice']),
  result: z.enum(['pass', 'fail', 'warn', 'skipped']),
  /** When it was looked at, RFC 3339. */
  time: text,
  found: text,
  /** What to do about it. */
  action: text.nullable(),
  /** Why a failed one may stay so. */
  because: text.nullable(),
});

export const checkSummarySchema = z.object({
  /** Of the newest run. */
  time: text,
  checks: z.array(checkedSchema).max(limits.hostChecks),
});

export type CheckedSummary = z.infer<typeof checkedSchema>;
export type CheckSummary = z.infer<typeof checkSummarySchema>;

const format = 'homeward checks';
const fileIn = (data: string): string => path.join(data, 'checks.json');

/** Null before the first run, and of one that is damaged: the next run makes it anew. */
export function readCheckSummary(data: string): CheckSummary | null {
  try {
    const read = checkSummarySchema.safeParse(readSealedJson(fileIn(data), format));
    return read.success ? read.data : null;
  } catch (error) {
    if (error instanceof HomewardError || errnoOf(error) !== null) return null;
    throw error;
  }
}

export function writeCheckSummary(data: string, summary: CheckSummary): void {
  writeSealedJson(fileIn(data), format, summary);
  giveToOwner(data, fileIn(data));
}

/** What passed needs no words in every heartbeat. */
export function briefly({ time, checks }: CheckSummary): CheckSummary {
  const isNews = ({ result }: CheckedSummary): boolean => result === 'fail' || result === 'warn';
  return { time, checks: checks.map((one) => (isNews(one) ? one : { ...one, found: '', action: null })) };
}

/** What root writes into the directory of a daemon that is not root has to be read by that daemon. */
export function giveToOwner(directory: string, file: string): void {
  if (process.geteuid?.() !== 0) return;
  const { uid, gid } = fs.statSync(directory);
  if (uid !== 0) fs.chownSync(file, uid, gid);
}
