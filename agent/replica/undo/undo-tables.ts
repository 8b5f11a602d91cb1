// Which derived tables of undo steps there are: found by name, believed when they name the steps as sources.
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { errnoOf } from '../../../core/errors.ts';
import { tryReadTableMeta, type TableSource } from '../../../core/extents/table-file.ts';
import type { Files } from '../../../core/files/files.ts';
import { isTableOf } from './build-node.ts';
import type { LentFiles } from './lent-files.ts';
import { isUndoTableName, parseUndoTableName, undoTablePath } from './undo-names.ts';
import { namesIn } from './undo-files.ts';
import type { UndoStep } from './undo-step.ts';

interface Known {
  from: number;
  to: number;
  /** It was looked into, and is of the steps of that interval. */
  checked: boolean;
}

export interface LentTable {
  fd: number;
  path: string;
  release(): void;
}

/** Any of the files may vanish or be damaged at any time: then they do not count. */
export class UndoTables {
  readonly #files: Files;
  readonly #derived: string;
  readonly #lent: LentFiles;
  readonly #known = new Map<string, Known>();

  constructor(files: Files, derived: string, lent: LentFiles) {
    this.#files = files;
    this.#derived = derived;
    this.#lent = lent;
  }

  /** Looks which files there are; with `clean`, what was not finished goes. */
  refresh(clean: boolean): void {
    const there = new Set<string>();
    for (const name of namesIn(this.#files, this.#derived)) {
      const run = parseUndoTableName(name);
      if (run !== null) {
        const key = keyOf(run);
        there.add(key);
        if (!this.#known.has(key)) this.#known.set(key, { ...run, checked: false });
      } else if (clean && isUndoTableName(name)) this.#unlink(join(this.#derived, name));
    }
    for (const key of this.#known.keys()) if (!there.has(key)) this.#known.delete(key);
  }

  /** There may be a new table of (from, to]. */
  made(run: { from: number; to: number }): void {
    this.#known.set(keyOf(run), { from: run.from, to: run.to, checked: false });
  }

  /** By the LSN where a run begins, where runs that may have a table end. */
  starting(): Map<number, Set<number>> {
    const starting = new Map<number, Set<number>>();
    for (const { from, to } of this.#known.values()) {
      const ends = starting.get(from) ?? new Set();
      starting.set(from, ends.add(to));
    }
    return starting;
  }

  /** Whether a table of exactly these steps, which join, is there. */
  has(steps: readonly UndoStep[]): boolean {
    const known = this.#known.get(keyOf(runOf(steps)));
    if (known === undefined || known.checked) return known !== undefined;
    const table = this.lend(steps);
    table?.release();
    return table !== null;
  }

  /** The file of the table of these steps, or null when it is not there after all. */
  lend(steps: readonly UndoStep[]): LentTable | null {
    const run = runOf(steps);
    const known = this.#known.get(keyOf(run));
    if (known === undefined) return null;
    const path = undoTablePath(this.#derived, run.from, run.to);
    const key = `table ${keyOf(run)} ${identityOf(steps)}`;
    // What lies under the name may be another file each time it is opened.
    if (this.#lent.fdOf(key) === null) known.checked = false;
    let lent: Omit<LentTable, 'path'>;
    try {
      lent = this.#lent.lend(key, path);
    } catch (error) {
      if (errnoOf(error) === null) throw error;
      this.#known.delete(keyOf(run));
      return null;
    }
    known.checked ||= isTableOf(tryReadTableMeta(this.#files, lent.fd)?.sources ?? [], sourcesOf(steps));
    if (known.checked) return { ...lent, path };
    lent.release();
    this.drop(run);
    return null;
  }

  /** Removes a table that is not to be used any more. */
  drop(run: { from: number; to: number }): void {
    this.#known.delete(keyOf(run));
    this.#unlink(undoTablePath(this.#derived, run.from, run.to));
  }

  /** Removes what touches (from, to] but `kept`, which may be new and is looked into again. */
  dropOver(from: number, to: number, kept: readonly { from: number; to: number }[]): void {
    const keys = new Set(kept.map(keyOf));
    for (const [key, known] of this.#known) {
      if (known.from >= to || known.to <= from) continue;
      if (keys.has(key)) known.checked = false;
      else this.drop(known);
    }
  }

  /** Removes tables that do not begin and end at boundaries. */
  keepBetween(boundaries: ReadonlySet<number>): void {
    for (const run of [...this.#known.values()])
      if (!boundaries.has(run.from) || !boundaries.has(run.to)) this.drop(run);
  }

  /** No failure counts: what is not removed now is found not to fit later. */
  #unlink(path: string): void {
    try {
      this.#files.unlink(path);
    } catch (error) {
      if (errnoOf(error) === null) throw error;
    }
  }
}

const keyOf = ({ from, to }: { from: number; to: number }): string => `${from}-${to}`;

function runOf(steps: readonly UndoStep[]): { from: number; to: number } {
  return { from: steps[0]?.from ?? 0, to: steps.at(-1)?.to ?? 0 };
}

const sourcesOf = (steps: readonly UndoStep[]): TableSource[] =>
  steps.map(({ from, to, identity }) => ({ from, to, identity }));

/** A file of the same name may be of other steps later; what is lent still is this one. */
function identityOf(steps: readonly UndoStep[]): string {
  const hash = createHash('sha256');
  for (const { identity } of steps) hash.update(identity);
  return hash.digest('hex');
}
