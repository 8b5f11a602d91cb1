// Makes the newest state of a machine the one that it goes on from: what was written since is written back,
// as records, so that every point before stays what it is.
import { assert, HomewardError } from '../../core/errors.ts';
import { joinRanges } from '../../core/extents/join-ranges.ts';
import { Pieces } from '../../core/extents/pieces.ts';
import { limits } from '../../core/limits.ts';
import type { DiskRange, OnProgress } from '../control/service.ts';
import type { Journal } from '../journal/journal.ts';
import { touches } from '../replica/view-replica.ts';
import type { StateReader } from './hand-over-reader.ts';

export interface WriteBack {
  journal: Pick<Journal, 'resolveHead' | 'turns' | 'write' | 'zero'>;
  reader: Pick<StateReader, 'extents' | 'outside' | 'content'>;
  /** As it goes on, and as it is now. */
  disks: readonly { name: string; size: number }[];
  /** Addresses [start, end) of the replicas whose content nobody knows. */
  unknown: readonly (readonly [number, number])[];
  /** Records since are lost: nobody knows what they touched. */
  isLost: boolean;
  allowDamaged: boolean;
  /** Only reads: nothing is written. */
  isTrial: boolean;
  progress: OnProgress;
  signal: AbortSignal;
}

export interface WrittenBack {
  bytesWritten: number;
  damaged: DiskRange[];
}

/**
 * Nobody else writes. What may differ from the state that the reader shows is written again as it is there;
 * done twice, it is the same. Throws 'damaged' for content that is lost, unless that is allowed: then it
 * becomes zeros.
 */
export async function writeBack(work: WriteBack): Promise<WrittenBack> {
  const back = new Writer(work);
  const total = work.disks.reduce((sum, { size }) => sum + size, 0);
  let done = 0;
  for (const [disk, { name, size }] of work.disks.entries()) {
    for (let at = 0; at < size; at += limits.exportStretchBytes) {
      work.signal.throwIfAborted();
      const length = Math.min(limits.exportStretchBytes, size - at);
      for (const [start, end] of await wantedOf(work, disk, at, length)) await back.extent(disk, start, end);
      done += length;
      work.progress({ done, total, what: name });
    }
  }
  await back.settle();
  return back.outcome;
}

/**
 * Bytes [start, end) of a disk that may differ from the newest state, or that nobody knows. Redo is asked
 * first: what the cursor passes over meanwhile is in it, or in history then. When the cursor goes back
 * meanwhile both are asked again.
 */
async function wantedOf(
  { journal, reader, unknown, isLost }: WriteBack,
  disk: number,
  offset: number,
  length: number,
): Promise<[number, number][]> {
  if (isLost || touches(unknown, disk, offset, length)) return [[offset, offset + length]];
  for (;;) {
    const { turns } = journal;
    const since = journal.resolveHead(disk, offset, length, new Pieces()).touched();
    const outside = await reader.outside(disk, offset, length);
    if (turns === journal.turns) return joinRanges([...since, ...outside]);
  }
}

class Writer {
  readonly outcome: WrittenBack = { bytesWritten: 0, damaged: [] };
  readonly #work: WriteBack;
  #underWay = 0;
  #underWayBytes = 0;
  #failure: HomewardError | null = null;
  #settled: (() => void) | null = null;

  constructor(work: WriteBack) {
    this.#work = work;
  }

  async extent(disk: number, start: number, end: number): Promise<void> {
    const { reader, journal, isTrial } = this.#work;
    let at = start;
    for (const { length, zero } of await reader.extents(disk, start, end - start)) {
      if (!zero) await this.#content(disk, at, at + length);
      else if (!isTrial)
        await this.#append(0, (done) => journal.zero(disk, at, length, { discard: true, fua: true }, done));
      at += length;
    }
    assert(at === end, 'a state has all of an extent');
  }

  async #content(disk: number, start: number, end: number): Promise<void> {
    const { reader, journal, isTrial, signal } = this.#work;
    for (let at = start; at < end; at += limits.syncPieceBytes) {
      signal.throwIfAborted();
      const { content, damaged } = await reader.content(disk, at, Math.min(limits.syncPieceBytes, end - at));
      for (const range of damaged) this.#noteDamage(disk, range);
      if (isTrial) continue;
      this.outcome.bytesWritten += content.length;
      await this.#append(content.length, (done) => journal.write(disk, at, content, true, null, done));
    }
  }

  /** Resolves when all that was appended is durable. */
  async settle(): Promise<void> {
    if (this.#underWay > 0)
      await new Promise<void>((resolve) => {
        this.#settled = resolve;
      });
    this.#underWayBytes = 0;
    if (this.#failure !== null) throw this.#failure;
  }

  async #append(bytes: number, begin: (done: (error: HomewardError | null) => void) => void): Promise<void> {
    this.#underWay += 1;
    this.#underWayBytes += bytes;
    begin((error) => {
      this.#underWay -= 1;
      this.#failure ??= error;
      if (this.#underWay === 0) this.#settled?.();
    });
    if (this.#underWayBytes >= limits.groupBytesUsual || this.#underWay >= limits.groupRecords)
      await this.settle();
  }

  #noteDamage(disk: number, [start, end]: [number, number]): void {
    const name = this.#work.disks[disk]?.name ?? String(disk);
    if (!this.#work.allowDamaged)
      throw new HomewardError('damaged', `bytes ${start} to ${end} of disk ${name} are damaged or unknown`, {
        hint: 'Give --allow-damaged to go on with zeros there, or pin an earlier point.',
      });
    const last = this.outcome.damaged.at(-1);
    if (last?.disk === name && last.end === start) last.end = end;
    else this.outcome.damaged.push({ disk: name, start, end });
  }
}
