// Findings that somebody answers for, in DATA/accepted-checks.json: who, when and why.
import path from 'node:path';
import { z } from 'zod';
import { readSealedJson, writeSealedJson } from '../../core/atomic-file.ts';
import { ensureDirectorySync } from '../../core/directory.ts';
import { HomewardError } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import { giveToOwner } from '../../core/registration/check-summary.ts';
import type { AcceptedCheck, Check } from './check.ts';

export interface AcceptedEntry extends AcceptedCheck {
  /** The user who said so. */
  by: string;
}

const format = 'homeward accepted checks';
const text = z.string().max(limits.acceptedCheckCharacters);
const entrySchema = z.object({ id: text, because: text, since: text, by: text });
const fileSchema = z.object({ accepted: z.array(entrySchema).max(limits.hostChecks) });

const fileIn = (data: string): string => path.join(data, 'accepted-checks.json');

/** Empty where nothing was accepted. Throws 'damaged'. */
export function readAccepted(data: string): AcceptedEntry[] {
  const file = fileIn(data);
  const body = readSealedJson(file, format);
  if (body === null) return [];
  const { data: read, error } = fileSchema.safeParse(body);
  if (error !== undefined) throw new HomewardError('damaged', `${file} lists no accepted checks`);
  return read.accepted;
}

/**
 * A second word for a check goes in place of the first. Throws 'usage' for what cannot be accepted; then none
 * is.
 */
export function acceptChecks(
  data: string,
  checks: readonly Check[],
  entries: readonly AcceptedEntry[],
): void {
  for (const entry of entries) ensureSound(checks, entry);
  const others = readAccepted(data).filter(({ id }) => !entries.some((entry) => entry.id === id));
  ensureDirectorySync(data);
  write(data, [...others, ...entries]);
}

function ensureSound(checks: readonly Check[], { id, because }: AcceptedEntry): void {
  ensureAcceptable(checks, id);
  const most = limits.acceptedCheckCharacters;
  if (because.trim() !== '' && because.length <= most && !/\p{Cc}/u.test(because)) return;
  throw new HomewardError('usage', `--because takes one line of 1 to ${most} characters`, {
    hint: 'Say why it may stay so: it is shown in status and at the configuration server.',
  });
}

/** False when it was not accepted. */
export function withdrawAcceptance(data: string, checks: readonly Check[], id: string): boolean {
  ensureAcceptable(checks, id);
  const accepted = readAccepted(data);
  const others = accepted.filter((entry) => entry.id !== id);
  if (others.length === accepted.length) return false;
  write(data, others);
  return true;
}

function write(data: string, accepted: readonly AcceptedEntry[]): void {
  writeSealedJson(fileIn(data), format, { accepted });
  giveToOwner(data, fileIn(data));
}

function ensureAcceptable(checks: readonly Check[], id: string): void {
  const check = checks.find((one) => one.id === id);
  const acceptable = checks.filter(({ severity }) => severity === 'hard-unless-accepted');
  const hint = `These can be accepted: ${acceptable.map((one) => one.id).join(', ')}.`;
  if (check === undefined) throw new HomewardError('usage', `there is no check "${id}"`, { hint });
  if (check.severity === 'hard') {
    throw new HomewardError('usage', `${id} cannot be accepted: data would be lost, or nothing would run`, {
      hint,
    });
  }
  if (check.severity === 'advice') {
    throw new HomewardError('usage', `${id} is advice: it keeps nothing from starting`, { hint });
  }
}
