// Keeps the place where a verification with a bound in time stopped; without it the next begins anew.
import fs from 'node:fs';
import { join } from 'node:path';
import { readSealedJson, writeSealedJson } from '../../core/atomic-file.ts';
import { errnoOf, HomewardError } from '../../core/errors.ts';
import type { SweepPlace } from './verify-plan.ts';

type Part = { n: number; of: number } | null;

const format = 'homeward-verify';
const fileIn = (derived: string): string => join(derived, 'verify.json');
const nameOf = (part: Part): string => (part === null ? 'all' : `${part.n}/${part.of}`);

/** Where to go on; null at the beginning. */
export function readPlace(derived: string, part: Part): SweepPlace | null {
  const place = readAll(derived)[nameOf(part)];
  if (typeof place !== 'object' || place === null) return null;
  const { key, at } = place as Partial<Record<keyof SweepPlace, unknown>>;
  return typeof key === 'string' && Number.isSafeInteger(at) ? { key, at: Number(at) } : null;
}

/** Null: the end was reached. On a volume that takes no file the next run begins at the beginning. */
export function keepPlace(derived: string, part: Part, place: SweepPlace | null): void {
  const places = { ...readAll(derived), [nameOf(part)]: place ?? undefined };
  try {
    fs.mkdirSync(derived, { recursive: true });
    writeSealedJson(fileIn(derived), format, places);
  } catch (error) {
    if (errnoOf(error) === null) throw error;
  }
}

function readAll(derived: string): Record<string, unknown> {
  try {
    const body = readSealedJson(fileIn(derived), format);
    return typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {};
  } catch (error) {
    if (error instanceof HomewardError || errnoOf(error) !== null) return {}; // it may be deleted at any time
    throw error;
  }
}
