// Keeps the checksums of one replica in step with it while a step writes it.
import { dirname } from 'node:path';
import { errnoOf } from '../../core/errors.ts';
import type { Files } from '../../core/files/files.ts';
import type { KnownSums } from './known-sums.ts';
import { readWhole } from './replica-read.ts';
import {
  notKnown,
  openSums,
  Rest,
  sumBlockBytes,
  sumOf,
  sumPageSpan,
  SumsPage,
  sumsPerPage,
  zeroSum,
  type SumsFile,
  type SumsOwner,
  type SumsState,
} from './replica-sums.ts';
import type { LentDisk } from './undo/undo-step.ts';

/** A block that is written in part: what it holds when all of that is written. */
interface PartBlock {
  index: number;
  content: Buffer;
  /** What is known to be wrong with it stays found: its sum stays as it is, or is given up. */
  sum: 'new' | 'kept' | 'given-up';
}

/**
 * Crash order: 1 the file says that a step is open, synced · 2 replica and sums, in any order · 3 replica
 * flushed · 4 sums synced · 5 the file says that it is closed, synced · 6 cursor. Any crash before 5 leaves a
 * file that is open, and the step is then repeated: what it touches gets its sum anew, the rest has kept its
 * own. Between 5 and 6 the file is closed at the other end of a step, where the replica is too.
 * Calls come in address order. A volume that is full costs the sums, never the step.
 */
export class StepSums {
  readonly #files: Files;
  readonly #disk: LentDisk;
  readonly #state: SumsState;
  #file: SumsFile | null;
  /** Its name is not durable: an older file, deleted while we ran, could be there again after a power cut. */
  #isNew = false;
  /** At the beginning of the step the disk is all zeros. */
  readonly #isBlank: boolean;
  #mixed = false;
  #full = false;
  #begun = false;
  readonly #page = new SumsPage();
  #pageIndex = -1;
  #pageChanged = false;
  #part: PartBlock | null = null;
  readonly #partContent = Buffer.allocUnsafeSlow(sumBlockBytes);

  constructor(files: Files, disk: LentDisk, owner: SumsOwner, step: { from: number; to: number }) {
    this.#files = files;
    this.#disk = disk;
    this.#state = { low: step.from, high: step.to, open: true, rest: Rest.unknown };
    this.#isBlank = disk.blank === true && step.from === 0;
    this.#file = openFor(files, disk, owner);
    if (this.#file !== null) return;
    this.#file = openFor(files, disk, owner, true);
    this.#isNew = this.#file !== null;
  }

  /** Says that the replica changes, durably; to be called before it does. May be called again. */
  async begin(): Promise<void> {
    if (this.#begun || this.#file === null) return;
    const file = this.#file;
    await this.#settleName();
    const found = file.readState();
    const { low, high } = this.#state;
    const fits = found !== null && found.low >= low && found.high <= high;
    // Where a file of sums begins with a step that was tried before, that has left what it has left.
    this.#mixed = fits ? found.open : this.#isBlank;
    this.#state.rest = fits ? found.rest : this.#restAtFirst;
    if (!fits) await file.clear();
    this.#try(() => file.writeState(this.#state));
    if (this.#full) await file.clear();
    else await file.sync();
    this.#begun = true;
  }

  /**
   * `data` is going to be written at `offset`; `known`, which goes by machine addresses, may have the sums of
   * it, by `moved` apart.
   */
  wrote(offset: number, data: Buffer, known: KnownSums | null = null, moved = 0): void {
    if (this.#idle) return;
    const end = offset + data.length;
    for (let at = offset; at < end;) {
      const block = Math.floor(at / sumBlockBytes);
      const stop = Math.min((block + 1) * sumBlockBytes, end);
      if (stop - at === sumBlockBytes) {
        const sum = known === null ? -1 : known.at(at + moved);
        this.#set(block, sum >= 0 ? sum : sumOf(data.subarray(at - offset, stop - offset)));
      } else this.#partly(block).content.set(data.subarray(at - offset, stop - offset), at % sumBlockBytes);
      at = stop;
    }
  }

  /** [start, end) is going to be zeros. Pages that are not there are not made for it: zeros may be vast. */
  zeroed(start: number, end: number): void {
    if (this.#idle) return;
    for (let at = start; at < end;) {
      const block = Math.floor(at / sumBlockBytes);
      const stop = Math.min((block + 1) * sumBlockBytes, end);
      if (at % sumPageSpan === 0 && end - at >= sumPageSpan) {
        at = this.#fillPages(block, Math.floor((end - at) / sumPageSpan), zeroSum);
        continue;
      }
      if (stop - at === sumBlockBytes) this.#set(block, zeroSum);
      else this.#partly(block).content.fill(0, at % sumBlockBytes, (at % sumBlockBytes) + stop - at);
      at = stop;
    }
  }

  /** [start, end) is left as it is, and nobody knows what it should be. */
  left(start: number, end: number): void {
    if (this.#idle || !this.#mixed) return;
    // An attempt before this one may have written there, with or without the sum.
    const last = Math.ceil(Math.min(end, this.#disk.size) / sumBlockBytes);
    for (let block = Math.floor(start / sumBlockBytes); block < last;) {
      if (block % sumsPerPage === 0 && last - block >= sumsPerPage) {
        const pages = Math.floor((last - block) / sumsPerPage);
        block = this.#fillPages(block, pages, notKnown) / sumBlockBytes;
        this.#forgetRest();
      } else if (this.#part?.index === block) {
        this.#part.sum = 'given-up';
        block += 1;
      } else this.#set(block++, notKnown);
    }
  }

  /** The replica is flushed and at `lsn`: the sums are so too when it resolves. */
  async end(lsn: number): Promise<void> {
    const file = this.#file;
    if (file === null) return;
    await this.#settleName();
    if (!this.#begun) await this.#endUntouched(file, lsn);
    else {
      if (!this.#idle) this.#leavePage();
      if (!this.#full) await file.sync().catch((error: unknown) => this.#giveUp(error));
      if (!this.#full) this.#try(() => file.writeState(this.#closedAt(lsn, this.#state.rest)));
    }
    if (this.#full) await file.clear();
    else await file.sync();
  }

  close(): void {
    if (this.#file !== null) this.#files.close(this.#file.fd);
    this.#file = null;
  }

  /** Of a disk that a step does not touch, the sums at one end are those at the other. */
  async #endUntouched(file: SumsFile, lsn: number): Promise<void> {
    const found = file.readState();
    const { low, high } = this.#state;
    const fits = found !== null && !found.open && found.low >= low && found.high <= high;
    if (!fits) await file.clear();
    this.#try(() => file.writeState(this.#closedAt(lsn, fits ? found.rest : this.#restAtFirst)));
  }

  async #settleName(): Promise<void> {
    const { sums } = this.#disk;
    if (this.#isNew && sums) {
      await this.#files.syncDirectory(dirname(sums)).catch((error: unknown) => {
        if (!isGone(error)) throw error;
      });
    }
    this.#isNew = false;
  }

  get #restAtFirst(): number {
    return this.#isBlank ? Rest.zeros : Rest.unknown;
  }

  #closedAt(lsn: number, rest: number): SumsState {
    return { low: lsn, high: lsn, open: false, rest };
  }

  /** What no page tells of is not known from here on, and a pass that is under way has to begin anew. */
  #forgetRest(): void {
    this.#state.rest = Rest.unknown;
    this.#try(() => this.#file?.writeState(this.#state));
  }

  get #idle(): boolean {
    return this.#file === null || this.#full;
  }

  #set(block: number, sum: number): void {
    if (this.#part !== null && this.#part.index !== block) this.#leavePart();
    this.#turnTo(Math.floor(block / sumsPerPage));
    // What is there of the last block of a disk may be less than a block, and grow.
    const isWhole = (block + 1) * sumBlockBytes <= this.#disk.size;
    this.#page.words[block % sumsPerPage] = isWhole ? sum : notKnown;
    this.#pageChanged = true;
  }

  /** The block as it was before the step, to be written to; its own sum is looked at first. */
  #partly(block: number): PartBlock {
    if (this.#part?.index === block) return this.#part;
    if (this.#part !== null) this.#leavePart();
    this.#turnTo(Math.floor(block / sumsPerPage));
    const known = this.#page.words[block % sumsPerPage]!;
    const content = this.#partContent;
    const read = readWhole(this.#files, this.#disk.fd, content, block * sumBlockBytes);
    const fits = read && (known === notKnown || sumOf(content) === known);
    this.#part = { index: block, content, sum: fits ? 'new' : this.#mixed || !read ? 'given-up' : 'kept' };
    return this.#part;
  }

  #leavePart(): void {
    const part = this.#part;
    this.#part = null;
    if (part === null || part.sum === 'kept') return;
    this.#set(part.index, part.sum === 'new' ? sumOf(part.content) : notKnown);
  }

  /** Pages that are there, from the one that begins with `block`; gives back the offset behind them all. */
  #fillPages(block: number, pages: number, sum: number): number {
    const first = block / sumsPerPage;
    this.#leavePage();
    for (let page = first; page < first + pages;) {
      const next = this.#file?.nextPage(page) ?? null;
      if (next === null || next >= first + pages) break;
      this.#turnTo(next);
      this.#page.words.fill(sum);
      this.#pageChanged = true;
      page = next + 1;
    }
    return (first + pages) * sumPageSpan;
  }

  #turnTo(page: number): void {
    if (page === this.#pageIndex) return;
    this.#writePage();
    this.#pageIndex = page;
    this.#file?.readPage(page, this.#page);
  }

  #leavePage(): void {
    this.#leavePart();
    this.#writePage();
    this.#pageIndex = -1;
  }

  #writePage(): void {
    if (this.#pageChanged) this.#try(() => this.#file?.writePage(this.#pageIndex, this.#page));
    this.#pageChanged = false;
  }

  /** No room for sums is no reason to stop: they are given up, and made again by later writes. */
  #try(write: () => void): void {
    try {
      write();
    } catch (error) {
      this.#giveUp(error);
    }
  }

  #giveUp(error: unknown): void {
    if (!isFull(error)) throw error;
    this.#full = true;
  }
}

function openFor(files: Files, { sums }: LentDisk, owner: SumsOwner, create = false): SumsFile | null {
  if (sums === undefined || sums === null) return null;
  try {
    return openSums(files, sums, owner, create);
  } catch (error) {
    if (!isFull(error) && !isGone(error)) throw error;
    return null;
  }
}

/** What is derived may be removed at any moment, its directory too. */
const isGone = (error: unknown): boolean => errnoOf(error) === 'ENOENT';
const isFull = (error: unknown): boolean => ['ENOSPC', 'EDQUOT'].includes(errnoOf(error) ?? '');
