// Makes the checksums of a replica that are not known: of one that came with content, or whose sums were
// removed or damaged. What is found then is taken as right; a change after that is found.
import type { Files } from '../../core/files/files.ts';
import { limits } from '../../core/limits.ts';
import { MiB } from '../../core/units.ts';
import { isHole, readWhole } from './replica-read.ts';
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
} from './replica-sums.ts';
import type { LentDisk } from './undo/undo-step.ts';

export interface FillSumsJob {
  /** UUID, 16 bytes. */
  machine: Uint8Array;
  disk: number;
  lent: LentDisk;
  /** The replica is the state after this LSN, and no step is open. */
  lsn: number;
  /** Bytes of the disk: where the pass is; 0 to begin one. */
  at: number;
  /** The number of the pass, `Rest.leastPass` or more, another one for each. */
  pass: number;
  /** All sums are looked at although the file says that they are complete. */
  all: boolean;
}

/** Where the pass goes on; null when it is through, or there was nothing to do. */
export interface FillSumsDone {
  next: number | null;
  /** The sums are of another LSN, or the pass was given up: to be begun anew. */
  lost: boolean;
  bytes: number;
}

/**
 * A part of the pass, in the thread that steps are done in: none is under way. Steps between two parts keep
 * what was filled in, or give the pass up. Crash order: pages, synced, before the file says that they are
 * complete.
 */
export async function fillSums(files: Files, job: FillSumsJob): Promise<FillSumsDone> {
  const { lent, machine, disk } = job;
  const file = lent.sums ? openSums(files, lent.sums, { machine, disk }, true) : null;
  if (file === null) return { next: null, lost: false, bytes: 0 };
  try {
    return await new Filler(files, file, job).run();
  } finally {
    files.close(file.fd);
  }
}

class Filler {
  readonly #files: Files;
  readonly #sums: SumsFile;
  readonly #job: FillSumsJob;
  readonly #page = new SumsPage();
  readonly #content = Buffer.allocUnsafeSlow(MiB);
  #bytes = 0;
  #pages = 0;

  constructor(files: Files, sums: SumsFile, job: FillSumsJob) {
    this.#files = files;
    this.#sums = sums;
    this.#job = job;
  }

  async run(): Promise<FillSumsDone> {
    const { lsn, at, pass, all, lent } = this.#job;
    const rest = await this.#begin();
    if (rest === null) return { next: null, lost: true, bytes: 0 };
    if (at === 0 && rest === Rest.zeros && !all) return { next: null, lost: false, bytes: 0 };
    const next = this.#fill();
    await this.#sums.sync();
    if (next < lent.size) return { next, lost: false, bytes: this.#bytes };
    if (rest === pass) {
      this.#sums.writeState({ low: lsn, high: lsn, open: false, rest: Rest.zeros });
      await this.#sums.sync();
    }
    return { next: null, lost: false, bytes: this.#bytes };
  }

  /** What the file says of the rest: where that is unknown, the number of this pass; null when it is lost. */
  async #begin(): Promise<number | null> {
    const { lsn, at, pass } = this.#job;
    const found = this.#sums.readState();
    const fits = found !== null && !found.open && found.low === lsn && found.high === lsn;
    if (fits && found.rest === Rest.zeros) return found.rest;
    if (at > 0) return fits && found.rest === pass ? pass : null;
    if (found !== null && !fits) return null;
    // Pages of who knows whom.
    if (found === null) await this.#sums.clear();
    this.#sums.writeState({ low: lsn, high: lsn, open: false, rest: pass });
    return pass;
  }

  /** Gives back where it stopped: at the end of a page, or of the disk. */
  #fill(): number {
    const { size } = this.#job.lent;
    let at = this.#job.at;
    while (at < size && this.#bytes < limits.fillSumsBytes && this.#pages < limits.fillSumsPages) {
      const page = this.#nextPage(Math.floor(at / sumPageSpan));
      if (page * sumPageSpan >= size) return size;
      this.#fillPage(page);
      this.#pages += 1;
      at = (page + 1) * sumPageSpan;
    }
    return Math.min(at, size);
  }

  /** The next one that is there, or that content needs. */
  #nextPage(page: number): number {
    const { fd, sparse, size } = this.#job.lent;
    const there = this.#sums.nextPage(page) ?? Infinity;
    if (there === page || this.#sums.absent !== notKnown) return there;
    const data = sparse ? (this.#files.nextData(fd, page * sumPageSpan) ?? size) : page * sumPageSpan;
    return Math.min(there, Math.floor(data / sumPageSpan));
  }

  /** Also one that stays unknown in part has to be there: what has no page is said to be zeros at the end. */
  #fillPage(index: number): void {
    const { words } = this.#page;
    this.#sums.readPage(index, this.#page);
    if (!words.subarray(0, sumsPerPage).includes(notKnown)) return;
    const first = index * sumsPerPage;
    const last = Math.min(sumsPerPage, Math.floor(this.#job.lent.size / sumBlockBytes) - first);
    for (let at = 0; at < last;) {
      if (words[at] !== notKnown) {
        at += 1;
        continue;
      }
      let end = at + 1;
      while (end < last && words[end] === notKnown && (end - at) * sumBlockBytes < MiB) end += 1;
      this.#fillRun(first, at, end);
      at = end;
    }
    this.#sums.writePage(index, this.#page);
  }

  /** Blocks [from, to) of the page that begins with block `first`. */
  #fillRun(first: number, from: number, to: number): void {
    const { words } = this.#page;
    const start = (first + from) * sumBlockBytes;
    const bytes = (to - from) * sumBlockBytes;
    if (isHole(this.#files, this.#job.lent, start, bytes)) {
      words.fill(zeroSum, from, to);
      return;
    }
    const content = this.#content.subarray(0, bytes);
    this.#bytes += bytes;
    // What the disk does not give back stays unknown.
    if (!readWhole(this.#files, this.#job.lent.fd, content, start)) return;
    for (let at = 0; at < to - from; at++)
      words[from + at] = sumOf(content.subarray(at * sumBlockBytes, (at + 1) * sumBlockBytes));
  }
}
