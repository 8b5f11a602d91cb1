// What the ledger of a machine says to a reader that stands apart: as far as its chain is sound.
import fs from 'node:fs';
import { errnoOf } from '../../../core/errors.ts';
import { LedgerFiles } from '../../journal/ledger-files.ts';
import { readChain, tornEnd, type LedgerLine } from '../../journal/ledger-line.ts';

export interface RescuedLedger {
  /** Files that must be there. */
  files: LedgerFiles;
  /** Why what follows the sound lines does not count; null when nothing follows, or there is no ledger. */
  cut: string | null;
  /** It is there, and nothing of it is missing but what a crash leaves. */
  isWhole: boolean;
  /** The boundary up to which redo went. */
  prunedTo: number;
  /** The highest LSN that its lines of files tell of: all of them are durable. */
  durable: number;
}

/** It is not needed to recover: one that cannot be read says nothing. */
export function readRescuedLedger(path: string): RescuedLedger {
  const says: RescuedLedger = {
    files: new LedgerFiles(),
    cut: null,
    isWhole: false,
    prunedTo: 0,
    durable: 0,
  };
  const content = tryRead(path);
  if (content === null) return says;
  const { cut } = readChain(content, (line) => take(says, line));
  return { ...says, cut, isWhole: cut === null || cut === tornEnd };
}

function take(says: RescuedLedger, line: LedgerLine): void {
  says.files.take(line);
  const { event, file, to = 0 } = line;
  if (event === 'pruned' && file === undefined) says.prunedTo = Math.max(says.prunedTo, to);
  if (event === 'pruned' || (file !== undefined && event !== 'cut'))
    says.durable = Math.max(says.durable, to);
}

function tryRead(path: string): Buffer | null {
  try {
    return fs.readFileSync(path);
  } catch (error) {
    if (errnoOf(error) === null) throw error;
    return null;
  }
}
