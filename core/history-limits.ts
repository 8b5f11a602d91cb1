// Limits of history: ledger, undo, retention, the signal; part of `limits`, see there.
import { assert } from './errors.ts';
import { GiB, KiB, MiB } from './units.ts';

export const historyLimits = {
  /** A ledger that is larger begins anew; no line of it is longer than the second. */
  ledgerBytes: 16 * MiB,
  ledgerLineBytes: 64 * KiB,
  /** A verification looks at so much of a replica as one piece, and reports or stops after so long. */
  verifyStretchBytes: GiB,
  verifyTurnMs: 250,
  /** It waits so long for a moment without an open step to look at a replica. */
  verifyPatienceMs: 10_000,
  /** Zeros of a step that are less are written; a hole is made of more. */
  zeroedLeastBytes: 64 * KiB,
  /** Old content that a step keeps of what it makes unknown: lost records may have been about everything. */
  undoOfUnknownBytes: 4 * GiB,
  /** Data of one record of undo, and a group of them: a merge has one of each of its steps in memory. */
  undoRecordBytes: 256 * KiB,
  undoGroupBytes: 512 * KiB,
  /** Nodes of the index with fewer extents stay in memory; of larger ones so many are written in a turn. */
  spillExtentsLeast: 4096,
  spillSliceExtents: 16 * KiB,
  /** Above this, nodes that the head does not need are let go before they are in a file. */
  indexBytes: 256 * MiB,
  /** How far back rules for older history reach, and how many points one rule keeps: each is a file. */
  keepMostMs: 10 * 365 * 24 * 3600_000,
  keptPerRule: 10_000,
  /** Marks of one look at a step. */
  marksAtOnce: 10_000,
  /** Steps of one merge, whose files are open all at once. */
  thinSteps: 256,
  /** A run of steps that has no end yet is merged when it has so many. */
  thinOpenSteps: 512,
  locksPerMachine: 1000,
  lockMostMs: 10 * 365 * 24 * 3600_000,
  /** Minutes for which write rates are remembered. */
  rateMinutes: 2880,
  /** Before the reserve is touched, history is shortened so that the writes of so many minutes fit. */
  spaceAheadMinutes: 15,
  /** Undo adds to each byte of redo at the most this much, where nothing has been measured yet. */
  undoPerRedo: 1,
  /** How often it is reckoned how long the history will fit, and what must be known of a machine for that. */
  forecastMs: 60_000,
  forecastKnownMinutes: 10,
  /** What is taken to be written a day until a machine's rate is known: a part of its disks, and the most. */
  assumedDailyChange: 0.05,
  assumedDailyBytes: 4 * GiB,
  /** Of each stretch of so many bytes that a step writes, one block is looked at for the signal. */
  signalStretchBytes: 64 * KiB,
  /** Blocks that are counted together, in the order in which they were written. */
  signalPieceBlocks: 256,
  /** Of the write stream, in which a mass encryption is looked for, and how it slides. */
  signalWindowMs: 600_000,
  signalBucketMs: 10_000,
  /** Less is none: the least, a part of the disks, and the most. */
  signalLeastBytes: 16 * MiB,
  signalLeastPart: 0.005,
  signalLeastMost: GiB,
  /** The part of what is rewritten, and how much more than is usual. */
  signalLeastShare: 0.35,
  signalTimesUsual: 4,
  signalUsualMs: 24 * 3600_000,
  /** Pauses that a mass encryption may have, and those close to its first block. */
  signalQuietMs: 60_000,
  signalOnsetQuietMs: 10_000,
  /** Moments before an encryption that are kept for one machine. */
  signalMarks: 100,
  signalShownMs: 24 * 3600_000,
} as const;

assert(historyLimits.undoRecordBytes * 2 <= historyLimits.undoGroupBytes, 'a record of undo fits in a group');
