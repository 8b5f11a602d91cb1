// The file of a dirty map: bits that are on stable storage before the writes that they announce.
import path from 'node:path';
import type { Files } from '../../core/files/files.ts';
import { errnoOf, toHomewardError } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import {
  clearRegion,
  dirtyPageBytes,
  emptyPages,
  fillRegions,
  hasRegion,
  pageOf,
  readPages,
  regionCount,
  sealPage,
  setRegion,
  type DirtyIdentity,
  type ReadPages,
} from './dirty-pages.ts';

/** Hears that the bits asked for are durable, or why they are not. */
export type Waiter = (error: Error | null) => void;

export interface DirtyFileOptions {
  path: string;
  identity: DirtyIdentity;
  files: Files;
  log: Log;
}

/** What one sync of the file makes durable, and who waits for it. */
interface Round {
  regions: number[];
  pages: Set<number>;
  waiters: Waiter[];
}

/** A region whose bit is set is durable unless it is in one of both rounds. */
const Pending = { none: 0, next: 1, current: 2 } as const;

const newRound = (): Round => ({ regions: [], pages: new Set(), waiters: [] });

/**
 * Bits are written and synced in rounds: what is asked for while one runs goes into the next, so many writes
 * share one sync. After a sync that failed the file is not trusted any more: a new one takes its place.
 */
export class DirtyFile {
  /** Regions. */
  readonly count: number;
  readonly found: ReadPages['found'] | 'missing';
  readonly #options: DirtyFileOptions;
  readonly #bytes: Buffer;
  readonly #pending: Uint8Array;
  #fd: number | null;
  #broken: boolean;
  #next = newRound();
  #current: Round | null = null;
  #setCount = 0;

  private constructor(options: DirtyFileOptions, stored: { fd: number; bytes: Buffer } | null) {
    this.#options = options;
    this.count = regionCount(options.identity.size);
    this.#pending = new Uint8Array(this.count);
    this.#fd = stored?.fd ?? null;
    if (stored === null) {
      this.found = 'missing';
      this.#bytes = emptyPages(options.identity);
      fillRegions(this.#bytes, 0, this.count);
    } else ({ found: this.found, bytes: this.#bytes } = readPages(stored.bytes, options.identity));
    this.#broken = this.found !== 'kept';
    for (let region = 0; region < this.count; region += 1) if (this.has(region)) this.#setCount += 1;
  }

  /** Everything is dirty when there is no map of this disk. What it says is durable when this resolves. */
  static async open(options: DirtyFileOptions): Promise<DirtyFile> {
    const file = new DirtyFile(options, await readFile(options));
    try {
      // What was read may be in the page cache alone; a bit from there must not count as durable.
      if (file.#broken) await file.#replace();
      else await options.files.sync(file.#fd ?? -1);
    } catch (error) {
      file.close();
      throw error;
    }
    return file;
  }

  /** The bits, for looking at only. */
  get bytes(): Buffer {
    return this.#bytes;
  }

  /** Regions whose bit is set. */
  get setCount(): number {
    return this.#setCount;
  }

  has(region: number): boolean {
    return hasRegion(this.#bytes, region);
  }

  isDurable(region: number): boolean {
    return this.has(region) && this.#pending[region] === Pending.none;
  }

  /** Sets [first, end). True when all of that is durable already; else `waiter` is called later. */
  set(first: number, end: number, waiter: Waiter): boolean {
    let wanted: number = Pending.none;
    for (let region = first; region < end; region += 1) {
      if (!this.has(region)) this.#announce(region);
      const pending = this.#pending[region] ?? Pending.none;
      if (pending !== Pending.none && wanted !== Pending.next) wanted = pending;
    }
    if (wanted === Pending.none) return true;
    if (wanted === Pending.current && this.#current !== null) this.#current.waiters.push(waiter);
    else this.#next.waiters.push(waiter);
    if (this.#current === null) void this.#run();
    return false;
  }

  /** Takes regions out. Nothing waits for it: bits that come back after a power cut are harmless. */
  clear(regions: readonly number[]): void {
    const pages = new Set<number>();
    for (const region of regions) {
      if (!this.isDurable(region)) continue;
      clearRegion(this.#bytes, region);
      this.#setCount -= 1;
      pages.add(pageOf(region));
    }
    // A new file is being written, or will be: it has these bits or not, both are right.
    if (this.#broken) return;
    try {
      this.#write(pages);
    } catch (error) {
      this.#broken = true;
      this.#options.log.warn('dirty-map-write-failed', this.#fields(error));
    }
  }

  close(): void {
    if (this.#fd !== null) this.#options.files.close(this.#fd);
    this.#fd = null;
  }

  #announce(region: number): void {
    setRegion(this.#bytes, region);
    this.#setCount += 1;
    this.#pending[region] = Pending.next;
    this.#next.regions.push(region);
    this.#next.pages.add(pageOf(region));
  }

  async #run(): Promise<void> {
    // Requests that were received together are asked for in one turn: one round for all of them.
    await Promise.resolve();
    while (this.#next.waiters.length > 0) {
      const round = this.#next;
      this.#next = newRound();
      this.#current = round;
      for (const region of round.regions) this.#pending[region] = Pending.current;
      const error = await this.#store(round);
      this.#current = null;
      this.#settle(round, error);
      for (const waiter of round.waiters) waiter(error);
    }
  }

  #settle(round: Round, error: Error | null): void {
    for (const region of round.regions) {
      this.#pending[region] = error === null ? Pending.none : Pending.next;
      if (error === null) continue;
      this.#next.regions.push(region);
      this.#next.pages.add(pageOf(region));
    }
  }

  async #store(round: Round): Promise<Error | null> {
    try {
      if (!this.#broken) {
        this.#write(round.pages);
        await this.#options.files.sync(this.#fd ?? -1);
        return null;
      }
    } catch (error) {
      this.#broken = true;
      this.#options.log.warn('dirty-map-sync-failed', this.#fields(error));
    }
    try {
      await this.#replace();
      return null;
    } catch (error) {
      this.#options.log.error('dirty-map-failed', this.#fields(error));
      return toHomewardError(error);
    }
  }

  #write(pages: ReadonlySet<number>): void {
    for (const page of pages) {
      this.#options.files.write(this.#fd ?? -1, [sealPage(this.#bytes, page)], page * dirtyPageBytes);
    }
  }

  /**
   * A new file in place of the old. Crash order: 1 written under a temporary name, synced · 2 renamed ·
   * 3 directory synced. A crash before 2 leaves the old one, whose bits are still durable.
   */
  async #replace(): Promise<void> {
    const { files, path: file } = this.#options;
    const directory = path.dirname(file);
    const temporary = `${file}.new`;
    if (files.list(directory).includes(path.basename(temporary))) files.unlink(temporary);
    const fd = files.create(temporary);
    try {
      for (let page = 0; page * dirtyPageBytes < this.#bytes.length; page += 1) sealPage(this.#bytes, page);
      files.write(fd, [this.#bytes], 0);
      await files.sync(fd);
      files.rename(temporary, file);
      await files.syncDirectory(directory);
    } catch (error) {
      files.close(fd);
      throw error;
    }
    this.close();
    this.#fd = fd;
    this.#broken = false;
  }

  #fields(error: unknown): { file: string; disk: string; error: Error } {
    return {
      file: this.#options.path,
      disk: this.#options.identity.disk,
      error: toHomewardError(error),
    };
  }
}

async function readFile({
  path: file,
  files,
  identity,
}: DirtyFileOptions): Promise<{ fd: number; bytes: Buffer } | null> {
  let fd: number;
  try {
    fd = files.open(file);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw error;
  }
  try {
    const bytes = Buffer.alloc(Math.min(files.size(fd), emptyPages(identity).length));
    return { fd, bytes: bytes.subarray(0, await files.read(fd, bytes, 0)) };
  } catch (error) {
    files.close(fd);
    throw error;
  }
}
