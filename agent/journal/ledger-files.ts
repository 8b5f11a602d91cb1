// Which files of a machine's history must be there, by what the ledger says: a fold over its lines.
import type { LedgerEntry } from './ledger-line.ts';

/** A file that the ledger knows of. */
export interface LedgerFile {
  /** Below the machine's directory. */
  file: string;
  from: number;
  to: number;
  /** How far its content reaches. */
  bytes: number;
  /** BLAKE2b-256 of that in hex; null when the file was taken up without being read. */
  hash: string | null;
}

/** By name, as `file` of each says. */
export interface ExpectedFiles {
  redo: ReadonlyMap<string, LedgerFile>;
  undo: ReadonlyMap<string, LedgerFile>;
}

export class LedgerFiles implements ExpectedFiles {
  readonly redo = new Map<string, LedgerFile>();
  readonly undo = new Map<string, LedgerFile>();

  get count(): number {
    return this.redo.size + this.undo.size;
  }

  take(entry: LedgerEntry): void {
    switch (entry.event) {
      case 'sealed':
      case 'stepped':
      case 'split':
      case 'merged':
      case 'found':
      case 'kept':
        this.#add(entry);
        break;
      case 'rolled':
      case 'missed':
      case 'pruned':
        if (entry.file !== undefined) this.#remove(entry.file);
        else if (entry.event === 'pruned') this.#pruneRedo(entry.to ?? -1);
        break;
      default:
    }
  }

  /** All of it, redo first, oldest first. */
  list(): LedgerFile[] {
    const byPlace = (a: LedgerFile, b: LedgerFile): number => a.from - b.from || a.to - b.to;
    return [...this.redo.values()].sort(byPlace).concat([...this.undo.values()].sort(byPlace));
  }

  #add({ file, from = 0, to = 0, bytes = 0, hash = null }: { file?: string } & Partial<LedgerFile>): void {
    if (file?.startsWith('redo/')) this.redo.set(file, { file, from, to, bytes, hash });
    if (file?.startsWith('undo/')) this.undo.set(file, { file, from, to, bytes, hash });
  }

  #remove(file: string): void {
    this.redo.delete(file);
    this.undo.delete(file);
  }

  #pruneRedo(to: number): void {
    for (const [name, file] of this.redo) if (file.to <= to) this.redo.delete(name);
  }
}

/** A file that lies there: its path below the machine's directory. */
export interface PresentFile {
  file: string;
}

/** What does not go together. */
export interface Unmatched<P extends PresentFile> {
  /** Must be there and is not. */
  missing: LedgerFile[];
  /** Is there, and no line speaks of it. */
  unspoken: P[];
}

export function matchFiles<P extends PresentFile>(
  expected: ExpectedFiles,
  present: readonly P[],
): Unmatched<P> {
  const names = new Set(present.map(({ file }) => file));
  const isMissing = ({ file }: LedgerFile): boolean => !names.has(file);
  return {
    missing: [...expected.redo.values(), ...expected.undo.values()].filter(isMissing),
    unspoken: present.filter(({ file }) => !expected.redo.has(file) && !expected.undo.has(file)),
  };
}
