// Watches, fails or ends a process at its I/O calls, and keeps what reading for a check does out of the
// count.
import type { Files } from '../../core/files/files.ts';
import { systemError } from '../../core/system-error.ts';
import { SimulatedCrash, type FileCall, type SimulatedFiles } from './simulated-files.ts';

/** Which calls fail, counted from 1: the n-th, or all from there on. */
export interface IoFault {
  n: number;
  errno: string;
  isLasting: boolean;
  /** Reading goes on working. */
  sparesReads?: boolean;
}

const reads: readonly FileCall[] = ['read', 'readSync', 'open', 'nextData', 'nextHole'];

/** What goes wrong, and when. */
export type Trouble = Pick<TimelineIo, 'calls' | 'crashAt' | 'crashPart' | 'fault'>;

export class TimelineIo {
  readonly files: SimulatedFiles;
  /** Calls that were not made for a check. */
  calls = 0;
  /** The call that the process ends at, and how much of a write still reaches the page cache then. */
  crashAt = Infinity;
  crashPart = 0;
  fault: IoFault | null = null;
  injected = 0;
  failedReads = 0;
  /** No call comes through any more. */
  ended = false;
  /** Called before a call takes effect; `isApart` when it is made by another thread, or is waited for. */
  watch: ((isApart: boolean) => void) | null = null;
  #isQuiet = false;
  #fromWork = false;

  constructor(files: SimulatedFiles) {
    this.files = files;
    files.onCall = (name) => this.#onCall(name);
  }

  /** The same files as the thread of steps sees them; `change` puts other calls in the place of some. */
  filesOfWork(change: Partial<Files> = {}): Files {
    const { files } = this;
    return new Proxy<Files>(files, {
      get: (_target, name: keyof Files) => {
        const method = change[name] ?? files[name].bind(files);
        return (...args: never[]): unknown => {
          this.#fromWork = true;
          try {
            return (method as (...args: never[]) => unknown)(...args);
          } finally {
            this.#fromWork = false;
          }
        };
      },
    });
  }

  /** What is read here is no call of the process. */
  quietly<T>(read: () => T): T {
    const before = this.#isQuiet;
    this.#isQuiet = true;
    try {
      return read();
    } finally {
      this.#isQuiet = before;
    }
  }

  /** A call that has no file: it can fail, and the process can end before it. */
  point(): void {
    this.files.ensureDirectory('/');
  }

  #onCall(name: FileCall): void {
    if (this.#isQuiet) return;
    if (this.ended) throw new SimulatedCrash();
    this.calls += 1;
    if (this.calls >= this.crashAt) {
      this.ended = true;
      throw new SimulatedCrash(this.crashPart);
    }
    this.#fail(name);
    const isApart = this.#fromWork || name === 'syncDirectory';
    if (this.watch !== null) this.quietly(() => this.watch?.(isApart));
  }

  #fail(name: FileCall): void {
    const { fault, calls } = this;
    if (fault === null || calls < fault.n || (calls > fault.n && !fault.isLasting)) return;
    if (fault.sparesReads === true && reads.includes(name)) return;
    this.injected += 1;
    if (reads.includes(name)) this.failedReads += 1;
    throw systemError(fault.errno, name);
  }
}
