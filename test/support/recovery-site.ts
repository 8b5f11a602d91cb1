// A moment of a machine whose disks are plain files, and recoveries of it without a daemon.
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import type { RecoverPlan, RecoverRequest } from '../../agent/control/service.ts';
import { recoveryThreads } from '../../agent/recovery/export-crew.ts';
import { planRecovery } from '../../agent/recovery/plan.ts';
import { executeRecovery, type RecoverOutcome } from '../../agent/recovery/recover.ts';
import type { HeldContent } from '../../agent/replica/view-content.ts';
import type { RecoverTarget } from '../../agent/control/service.ts';
import { KiB, MiB } from '../../core/units.ts';
import type { Random } from './random.ts';
import { temporaryDirectory } from './temporary.ts';

// Most of the time of small recoveries goes into starting threads; bin/homeward has them compiled once, too.
process.env['NODE_COMPILE_CACHE'] ??= fileURLToPath(
  new URL('../../node_modules/.cache/homeward', import.meta.url),
);

type Progress = { done: number; total: number; what: string };
type Wanted = Partial<Omit<RecoverRequest, 'target' | 'machine' | 'at'>> & {
  lsn?: number;
  progress?(progress: Progress): void;
  signal?: AbortSignal;
};

export class RecoverySite {
  readonly directory: string;
  readonly disks: { name: string; size: number; path: string; fd: number }[];
  /** Machine addresses whose content nobody knows. */
  unknown: [number, number][] = [];

  constructor(t: Test, disks: { name: string; size: number }[]) {
    this.directory = temporaryDirectory(t);
    this.disks = disks.map(({ name, size }) => {
      const path = join(this.directory, `${name}.source`);
      const fd = fs.openSync(path, 'w+');
      fs.ftruncateSync(fd, size);
      t.teardown(() => fs.closeSync(fd));
      return { name, size, path, fd };
    });
  }

  /** Writes pieces here and there: noise, text, and zeros that are no holes. */
  scatter(random: Random, pieces: number): void {
    for (const { fd, size } of this.disks) {
      for (let at = 0; at < pieces; at++) {
        const length = Math.min(512 * (1 + random.below(2048)), size);
        const offset = 512 * random.below((size - length) / 512 + 1);
        const text = random.pick(['noise', 'text', 'zeros']);
        const piece =
          text === 'noise' ? randomBytes(length) : Buffer.alloc(length, text === 'text' ? 'abc' : 0);
        fs.writeSync(fd, piece, 0, length, offset);
      }
      const [begin, end] = [randomBytes(Math.min(64 * KiB, size)), randomBytes(512)];
      fs.writeSync(fd, begin, 0, begin.length, 0);
      fs.writeSync(fd, end, 0, end.length, size - end.length);
    }
  }

  /** Fills a disk with noise from end to end. */
  fill(): void {
    for (const { fd, size } of this.disks)
      for (let at = 0; at < size; at += MiB) {
        const length = Math.min(MiB, size - at);
        fs.writeSync(fd, randomBytes(length), 0, length, at);
      }
  }

  inDirectory(...names: string[]): string {
    return join(this.directory, ...names);
  }

  plan(target: RecoverTarget, { lsn = 7, fresh = false, overwrite = [] }: Wanted = {}): RecoverPlan {
    return planRecovery({
      machine: { id: 'id-of-box', name: 'box', disks: this.disks },
      lsn,
      time: null,
      asked: null,
      request: { machine: 'box', at: `lsn:${lsn}`, target, overwrite, fresh },
      notes: this.inDirectory('notes'),
    });
  }

  /** As the daemon does it: planned, then carried out. */
  recover(target: RecoverTarget, wanted: Wanted = {}): Promise<RecoverOutcome> {
    const threads = recoveryThreads(this.disks.map(({ size }) => size));
    return executeRecovery({
      plan: this.plan(target, wanted),
      machine: 'id-of-box',
      contents: Array.from({ length: threads }, () => this.#hold(wanted.lsn ?? 7)),
      notes: this.inDirectory('notes'),
      options: wanted,
      progress: wanted.progress ?? ((): void => undefined),
      signal: wanted.signal ?? new AbortController().signal,
    });
  }

  /** Aborted at the first progress that reports something done of the recovery itself. */
  async interrupt(target: RecoverTarget, wanted: Wanted = {}): Promise<unknown> {
    const abort = new AbortController();
    const progress = ({ done }: Progress): void => {
      if (done > 0) abort.abort();
    };
    return this.recover(target, { ...wanted, progress, signal: abort.signal }).then(
      () => null,
      (error: unknown) => error,
    );
  }

  #hold(lsn: number): HeldContent {
    const disks = this.disks.map(({ name, size, fd }) => ({ name, size, fd, sparse: true, sums: null }));
    const floor = { segment: 0, lsnDelta: 0 };
    const plan = { counter: 0, redo: [], floor, undo: [], segments: [], unknown: this.unknown };
    const mark = { low: 1, high: 2 };
    const content = { mark, machine: new Uint8Array(16), lsn, disks, plan, live: null };
    return { content, transfer: [], release: () => undefined };
  }
}
