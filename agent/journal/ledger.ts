// The ledger of one machine: the chained account of what happened to the files of its history.
import { dirname, join } from 'node:path';
import type { Clock } from '../../core/clock.ts';
import { errnoOf, toHomewardError } from '../../core/errors.ts';
import type { Files } from '../../core/files/files.ts';
import { limits } from '../../core/limits.ts';
import type { Log } from '../../core/log.ts';
import { LedgerBreaks, namedUpTo, type LedgerBreak } from './ledger-breaks.ts';
import { LedgerFiles, matchFiles, type ExpectedFiles, type LedgerFile } from './ledger-files.ts';
import {
  formatLine,
  hashLine,
  noHead,
  readChain,
  tornEnd,
  type LedgerEntry,
  type LedgerHead,
  type LedgerLine,
  type ReadChain,
} from './ledger-line.ts';

export interface LedgerOptions {
  files: Files;
  clock: Clock;
  log: Log;
  /** Absolute; what the lines tell of lies in the same directory. */
  path: string;
  /** It begins anew when it is larger. */
  rotateBytes?: number;
}

/** A line, the bytes it was written as, and the head that it makes. */
interface Written {
  bytes: Buffer;
  head: LedgerHead;
}

/**
 * Invariants: lines [0, `#end`) of the file are written and, but for `#unsynced`, durable; every line that
 * was appended and is not durable is in `#unsynced`; the file is a sound chain up to any cut.
 */
export class Ledger {
  /** When it was opened: why not all of it counted, or null. What only the rest knew is not known. */
  readonly cut: string | null;
  readonly #options: LedgerOptions;
  readonly #directory: string;
  readonly #files = new LedgerFiles();
  readonly #breaks: LedgerBreaks;
  #fd = -1;
  /** Behind the durable lines. */
  #end = 0;
  #rotateAt: number;
  #unsynced: Written[] = [];
  /** Of the line appended last, and of the durable one. */
  #last: LedgerHead = noHead;
  #durable: LedgerHead = noHead;
  /** A sync of the file failed: what it holds is not known. */
  #isDoubtful = false;
  #writing: Promise<void> | null = null;

  private constructor(options: LedgerOptions, cut: string | null, breaks: LedgerBreaks) {
    this.#options = options;
    this.#breaks = breaks;
    this.#directory = dirname(options.path);
    this.#rotateAt = options.rotateBytes ?? limits.ledgerBytes;
    this.cut = cut;
  }

  /**
   * Reads it and checks the chain; makes it where there is none. Of one that is damaged or cut the sound
   * beginning counts; the rest is set aside as `ledger.cut-<line>`, unless it is only the torn end of a line.
   */
  static async open(options: LedgerOptions): Promise<Ledger> {
    const content = tryReadWhole(options);
    const before = new LedgerFiles();
    const breaks = new LedgerBreaks();
    const show = (line: LedgerLine): void => {
      before.take(line);
      breaks.take(line);
    };
    const chain = content === null ? null : readChain(content, show);
    const ledger = new Ledger(options, chain === null ? whyNone(options) : chain.cut, breaks);
    if (chain !== null && content !== null) await ledger.#begin(content, chain, before);
    else if (ledger.cut !== null) ledger.#noteCut(ledger.cut, 0, null);
    ledger.append({ event: 'opened' });
    if (content === null) await ledger.#replace(Buffer.alloc(0));
    return ledger;
  }

  /** The last durable line: what others remember of it shows a later edit. */
  get head(): LedgerHead {
    return this.#durable;
  }

  /** Where it was damaged or missing at this start or an earlier one: what that alone knew is not known. */
  get breaks(): readonly LedgerBreak[] {
    return this.#breaks.list;
  }

  /** Which files must be there. */
  expected(): ExpectedFiles {
    return this.#files;
  }

  /** Takes up files that no line speaks of; gives back those that must be there and are not `present`. */
  adopt(present: readonly Omit<LedgerFile, 'hash'>[]): LedgerFile[] {
    const { missing, unspoken } = matchFiles(
      this.#files,
      present.map((one) => this.#below(one)),
    );
    for (const { file, from, to, bytes } of unspoken) this.append({ event: 'found', file, from, to, bytes });
    return missing;
  }

  /** Takes a line; a file may be given by its absolute path. It is written by the next `settle`. */
  append(entry: LedgerEntry): void {
    const told = entry.file === undefined ? entry : this.#below({ ...entry, file: entry.file });
    const { n, hash: prev } = this.#last;
    const time = this.#options.clock.now();
    const bytes = formatLine({ n: n + 1, time, ...told, prev });
    this.#last = { n: n + 1, hash: hashLine(bytes) };
    this.#unsynced.push({ bytes, head: this.#last });
    this.#files.take(told);
    this.#breaks.take({ n: n + 1, time, ...told });
  }

  /**
   * What was appended is durable when it resolves. When it fails nothing is forgotten: the next call goes
   * on.
   */
  async settle(): Promise<void> {
    const { n } = this.#last;
    while (this.#durable.n < n) {
      this.#writing ??= this.#write().finally(() => {
        this.#writing = null;
      });
      await this.#writing;
    }
  }

  async close(): Promise<void> {
    try {
      await this.settle();
    } finally {
      this.#close();
    }
  }

  async #begin(content: Buffer, chain: ReadChain, before: LedgerFiles): Promise<void> {
    const { files, path } = this.#options;
    this.#last = this.#durable = chain.head;
    this.#end = chain.end;
    for (const file of before.list()) this.#files.take(keptEntry(file));
    if (chain.cut === null) {
      this.#fd = files.open(path);
      return;
    }
    const rest = content.subarray(chain.end);
    const isSetAside = rest.length > 0 && chain.cut !== tornEnd;
    this.#noteCut(chain.cut, rest.length, isSetAside ? await this.#setAside(rest) : null);
    await this.#replace(content.subarray(0, chain.end));
  }

  #noteCut(why: string, bytes: number, aside: string | null): void {
    const { files, log, path } = this.#options;
    log.warn('ledger-cut', { file: path, line: this.#last.n + 1, bytes, why, aside });
    const from = this.#breaks.told;
    const to = Math.max(from, namedUpTo(files, this.#directory));
    this.append({ event: 'cut', bytes, why, from, to, ...(aside !== null && { file: aside }) });
  }

  /** What was there may be what somebody wants to look at. */
  async #setAside(rest: Buffer): Promise<string> {
    const { files } = this.#options;
    const taken = new Set(files.list(this.#directory));
    let name = `ledger.cut-${this.#last.n + 1}`;
    for (let number = 2; taken.has(name); number++) name = `ledger.cut-${this.#last.n + 1}-${number}`;
    const fd = files.create(join(this.#directory, name));
    try {
      files.write(fd, [rest], 0);
      await files.sync(fd);
    } finally {
      files.close(fd);
    }
    return name;
  }

  async #write(): Promise<void> {
    const { files } = this.#options;
    if (this.#isDoubtful) {
      await this.#replace(this.#readDurable());
      return;
    }
    const lines = [...this.#unsynced];
    files.write(
      this.#fd,
      lines.map(({ bytes }) => bytes),
      this.#end,
    );
    try {
      await files.sync(this.#fd);
    } catch (error) {
      this.#isDoubtful = true; // pages that a failed sync could not write count as written
      throw error;
    }
    this.#settled(lines, this.#end + lines.reduce((sum, { bytes }) => sum + bytes.length, 0));
    if (this.#end > this.#rotateAt) await this.#tryRotate();
  }

  /**
   * A new file with `content` and all that is not durable takes the place of this one. Crash order: 1 written
   * under another name, synced · 2 renamed · 3 directory synced.
   */
  async #replace(content: Buffer): Promise<void> {
    const { files, path } = this.#options;
    const temporary = `${path}.new`;
    tryUnlink(files, temporary);
    const lines = [...this.#unsynced];
    const bytes = Buffer.concat([content, ...lines.map((line) => line.bytes)]);
    const fd = files.create(temporary);
    try {
      files.write(fd, [bytes], 0);
      await files.sync(fd);
      files.rename(temporary, path);
    } catch (error) {
      files.close(fd);
      tryUnlink(files, temporary);
      throw error;
    }
    this.#close();
    this.#fd = fd;
    this.#end = content.length;
    // Until the directory is synced a power cut may bring the old file back, which lacks these lines.
    this.#isDoubtful = true;
    await files.syncDirectory(this.#directory);
    this.#isDoubtful = false;
    this.#settled(lines, bytes.length);
  }

  /** What was written and synced before, read back; a line that does not come back is lost. */
  #readDurable(): Buffer {
    const content = tryReadWhole(this.#options) ?? Buffer.alloc(0);
    return content.subarray(0, readChain(content.subarray(0, this.#end), () => undefined).end);
  }

  #settled(lines: readonly Written[], end: number): void {
    this.#unsynced = this.#unsynced.slice(lines.length);
    this.#durable = lines.at(-1)?.head ?? this.#durable;
    this.#end = end;
  }

  /** That it could not begin anew does no harm: it is tried again when it has grown. */
  async #tryRotate(): Promise<void> {
    const { rotateBytes = limits.ledgerBytes, log, path } = this.#options;
    try {
      await this.#rotate();
      this.#rotateAt = Math.max(rotateBytes, this.#end * 2);
    } catch (error) {
      this.#rotateAt = this.#end + rotateBytes;
      log.warn('ledger-not-rotated', { file: path, errno: errnoOf(error), error: toHomewardError(error) });
    }
  }

  /**
   * Begins anew with what must be there; what the lines before said is in `ledger.previous`. Crash order: 1
   * that file, by a rename · 2 the new ledger, by a rename. If it fails the new lines follow the old ones.
   */
  async #rotate(): Promise<void> {
    await this.#keepPrevious();
    if (this.#unsynced.length > 0) return; // those belong into the old one: another time
    const kept = this.#files.list();
    this.append({ event: 'rotated', count: kept.length });
    for (const file of kept) this.append(keptEntry(file));
    await this.#replace(Buffer.alloc(0));
  }

  async #keepPrevious(): Promise<void> {
    const { files, path } = this.#options;
    const temporary = `${path}.previous.new`;
    tryUnlink(files, temporary);
    const fd = files.create(temporary);
    try {
      files.write(fd, [this.#readDurable()], 0);
      await files.sync(fd);
    } finally {
      files.close(fd);
    }
    files.rename(temporary, `${path}.previous`);
  }

  /** A path below the machine's directory, of one that may be absolute. */
  #below<T extends { file: string }>(entry: T): T {
    const { file } = entry;
    const start = `${this.#directory}/`;
    return file.startsWith(start) ? { ...entry, file: file.slice(start.length) } : entry;
  }

  #close(): void {
    if (this.#fd >= 0) this.#options.files.close(this.#fd);
    this.#fd = -1;
  }
}

const keptEntry = ({ hash, ...file }: LedgerFile): LedgerEntry => ({
  event: 'kept',
  ...file,
  ...(hash !== null && { hash }),
});

/** The file's content, or null when there is none. */
function tryReadWhole({ files, path }: LedgerOptions): Buffer | null {
  const fd = tryOpen(files, path);
  if (fd === null) return null;
  try {
    const content = Buffer.allocUnsafe(files.size(fd));
    return content.subarray(0, files.readSync(fd, content, 0));
  } finally {
    files.close(fd);
  }
}

/** A machine that is new has no ledger, and nothing that one would speak of. */
function whyNone({ files, path }: LedgerOptions): string | null {
  const rooms = ['redo', 'undo'].filter((room) => files.list(dirname(path)).includes(room));
  const hasHistory = rooms.some((room) =>
    files.list(join(dirname(path), room)).some((name) => name.endsWith('.seg')),
  );
  return hasHistory ? 'there was none' : null;
}

function tryOpen(files: Files, path: string): number | null {
  try {
    return files.open(path);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw error;
  }
}

function tryUnlink(files: Files, path: string): void {
  try {
    files.unlink(path);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
}
