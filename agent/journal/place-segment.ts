// Gives a segment's name to a file with sound content, and has the journal read that from then on.
import { basename, dirname } from 'node:path';
import { toHomewardError } from '../../core/errors.ts';
import type { Files } from '../../core/files/files.ts';
import { limits } from '../../core/limits.ts';
import type { Log } from '../../core/log.ts';
import { rewriteSegment, type RewriteRequest } from '../../core/segment-log/rewrite-segment.ts';
import type { Lost } from '../../core/segment-log/scan.ts';
import type { Segment } from '../../core/segment-log/segment.ts';
import type { Journal } from './journal.ts';
import { enterLate, lateNotes } from './late-notes.ts';
import { FileHash } from './ledger-hash.ts';
import type { Ledger } from './ledger.ts';
import type { LsnRange } from './mend-segment.ts';
import { scanRedo } from './reindex.ts';

export interface PlacingParts {
  /** Of the machine. */
  name: string;
  /** Absolute path of its `redo` directory. */
  directory: string;
  journal: Journal;
  ledger: Pick<Ledger, 'append' | 'settle' | 'expected'>;
  log: Log;
  /** Another file is read for a segment from now on: readers have to hear of it. */
  replaced(): void;
}

export interface Placing {
  segment: Segment;
  content: Buffer;
  /** Records whose notes have not been known. */
  healed: readonly LsnRange[];
  /** In the words of the ledger. */
  why: string;
  /** The journal reads the new file from now on; when it throws nothing has changed. */
  take(next: Segment, lost: readonly Lost[]): void;
}

/** Throws what fails before the file has the name; nothing has changed then. */
export async function placeSegment(
  parts: PlacingParts,
  { segment, content, healed, why, take }: Placing,
): Promise<void> {
  const { journal, ledger, replaced } = parts;
  const { files, machine } = journal.source;
  const { path: file, firstLsn: from, lastLsn: to, end: bytes } = segment;
  const hash = new FileHash().add(content.subarray(0, bytes)).hex();
  let isPlaced = false;
  const request: RewriteRequest = {
    ...{ files, machine, segment, content },
    before: async () => {
      const words = why.slice(0, limits.ledgerWhyCharacters);
      ledger.append({ event: 'sealed', file, from, to, bytes, hash, why: words });
      await ledger.settle();
    },
    replaced: (next) => {
      const { report } = scanRedo(journal.source, content.subarray(0, bytes), segment, to);
      const notes = lateNotes(journal, { notes: report.notes, lastLsn: to }, healed);
      take(next, report.lost);
      isPlaced = true;
      // Who could not be told reads the old file on, which is as it was.
      trying(parts, file, () => {
        for (const note of notes) enterLate(journal.catalogue, note);
        replaced();
      });
    },
  };
  await rewriteSegment(request).catch((error: unknown) => {
    if (!isPlaced) throw error;
    notFinished(parts, file, error); // a power cut may bring the old file back
  });
}

/** Whether a file has the name. */
export const isThere = (files: Pick<Files, 'list'>, path: string): boolean =>
  files.list(dirname(path)).includes(basename(path));

function trying(parts: PlacingParts, file: string, act: () => void): void {
  try {
    act();
  } catch (error) {
    notFinished(parts, file, error);
  }
}

function notFinished({ log, name }: PlacingParts, file: string, error: unknown): void {
  log.warn('heal-not-finished', { machine: name, file, error: toHomewardError(error) });
}
