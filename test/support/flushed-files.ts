// What is known of files at every LSN of a run: which content each had when it was flushed, and what may be
// there while a change of it was under way.
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';

/** What a crash in the middle leaves: the old or the new, the old with something behind it, or anything. */
export type Change = 'whole' | 'append' | 'anything';

export interface FileVersion {
  /** Null: there is no file. */
  hash: string | null;
  bytes: number;
  /** How it came from the version before it. */
  change: Change;
  /** Nothing of it was written yet when this was the newest LSN. */
  begunAfter: number;
  /** It was durable when this was the newest LSN; infinite as long as nobody asked. */
  flushedAt: number;
}

export interface Expected {
  /** One of them is there; of the only one at least the beginning when `isBeginning`. */
  anyOf: readonly FileVersion[];
  isBeginning: boolean;
}

const noFile: FileVersion = { hash: null, bytes: 0, change: 'whole', begunAfter: 0, flushedAt: 0 };

export const hashOf = (content: Buffer): string => createHash('sha256').update(content).digest('hex');

/** What has to be at a path at `lsn`; null when that is not known. */
export function expectedAt(versions: readonly FileVersion[], lsn: number): Expected | null {
  const begun = [noFile, ...versions].filter(({ begunAfter }) => begunAfter < lsn || begunAfter === 0);
  const base = begun.findLastIndex(({ flushedAt }) => flushedAt <= lsn);
  const anyOf = begun.slice(base);
  const later = anyOf.slice(1);
  if (later.every(({ change }) => change === 'whole')) return { anyOf, isBeginning: false };
  if (later.every(({ change }) => change === 'append'))
    return { anyOf: anyOf.slice(0, 1), isBeginning: true };
  return null;
}

/** All paths of a run, below a directory that may be mounted anywhere. */
export class FlushedFiles {
  readonly #versions = new Map<string, FileVersion[]>();
  #pending: FileVersion[] = [];

  /** A change of `name` is done; it is durable when `flushed` says so. */
  add(name: string, content: Buffer | null, change: Change, begunAfter: number): FileVersion {
    const hash = content === null ? null : hashOf(content);
    const bytes = content?.length ?? 0;
    const version = { hash, bytes, change, begunAfter, flushedAt: Infinity };
    this.#versions.set(name, [...(this.#versions.get(name) ?? []), version]);
    this.#pending.push(version);
    return version;
  }

  /** `versions`, or all there are, were durable when `lsn` was the newest. */
  flushed(lsn: number, versions: readonly FileVersion[] = this.#pending): void {
    for (const version of versions) version.flushedAt = lsn;
    this.#pending = this.#pending.filter(({ flushedAt }) => flushedAt === Infinity);
  }

  isPending(name: string): boolean {
    return this.#versions.get(name)?.at(-1)?.flushedAt === Infinity;
  }

  /** What is wrong with the files below `root` as of `lsn`, and how many were looked at. */
  compare(root: string, lsn: number): { checked: number; wrong: string[] } {
    let checked = 0;
    const wrong: string[] = [];
    for (const [name, versions] of this.#versions) {
      const expected = expectedAt(versions, lsn);
      if (expected === null) continue;
      checked += 1;
      const problem = problemOf(readIfThere(path.join(root, name)), expected);
      if (problem !== null) wrong.push(`${name}: ${problem}`);
    }
    return { checked, wrong };
  }
}

function readIfThere(file: string): Buffer | Error | null {
  try {
    return fs.readFileSync(file);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return 'code' in error && error.code === 'ENOENT' ? null : error;
  }
}

function problemOf(found: Buffer | Error | null, { anyOf, isBeginning }: Expected): string | null {
  if (found instanceof Error) return found.message;
  const [base = noFile] = anyOf;
  const begins = isBeginning && base.hash !== null;
  const hash = found === null ? null : hashOf(begins ? found.subarray(0, base.bytes) : found);
  if (anyOf.some((version) => version.hash === hash)) return null;
  const spell = ({ hash: one, bytes }: Pick<FileVersion, 'hash' | 'bytes'>): string =>
    one === null ? 'no file' : `${bytes} bytes ${one.slice(0, 8)}`;
  const there = spell({ hash, bytes: found?.length ?? 0 });
  const wanted = anyOf.map(
    (version) => `${spell(version)} (LSN ${version.begunAfter} to ${version.flushedAt})`,
  );
  return `${there} instead of ${wanted.join(' or ')}${begins ? ', or more' : ''}`;
}
