// What a pull needs of the machine that it fills, and what it says of itself.
import type { Head } from '../../../core/chain/messages.ts';
import type { HomewardError } from '../../../core/errors.ts';
import type { RecordRun } from '../../../core/record/record-run.ts';
import type { Journal } from '../../journal/journal.ts';
import type { HeldContent } from '../../replica/view-content.ts';

export interface PulledMachine {
  /** UUID. */
  readonly id: string;
  readonly name: string;
  readonly journal: Journal;
  readonly appliedLsn: number;
  /**
   * Takes records in; `done` is called once they are durable. Throws 'fenced', 'chain-broken' for what
   * does not follow, and 'machine-differs' for what does not fit its disks.
   */
  receive(run: RecordRun, done: (error: HomewardError | null) => void): void;
  /** The state just before the record at `sync`, held. Throws 'pruned'. */
  holdBefore(sync: number): HeldContent;
}

/** What is known of a machine's way here; times are microseconds of the source's clock. */
export interface PullReport {
  connected: boolean;
  /** The newest word from the source, and how old it is by our clock. */
  head: Head | null;
  headAgeMs: number | null;
  /** Since the pull was started here. */
  ageMs: number;
  /** The newest point is as of this time; null before anything is known. */
  reachedTime: number | null;
  /** Why the stream is not there, or null. */
  problem: HomewardError | null;
  /** What has to be done before records are pulled, or null. */
  preparing: string | null;
  /** Records that came damaged and were asked for again. */
  damagedRecords: number;
}
