// Says in words what damage means: which points it touches, and which it does not. Pure.
import type { Finding } from './verify-finding.ts';

export interface HistoryFacts {
  cursorLsn: number;
  /** Where the cursor has stood, oldest first. */
  boundaries: readonly number[];
  /** Redo up to here may be gone. */
  pruned: number;
}

/** Which points are affected by a finding, and which are not. */
export function affectedPoints(finding: Finding, facts: HistoryFacts): string {
  if (finding.in === 'redo') return affectedByRedo(finding, facts);
  if (finding.in === 'undo') return affectedByUndo(finding);
  if (finding.in === 'replica') return affectedByReplica(finding);
  if (finding.in === 'ledger') return 'all points: the history itself is checked without it';
  return finding.in === 'cursor'
    ? 'all points as long as the daemon runs, which knows it; put the file right before a start'
    : 'all points: the file beside it says the same, and the next start reads that';
}

/** A record is read for moments from its own on, up to where a step of the cursor that has it ends. */
function affectedByRedo(
  { from, to, disk }: Finding,
  { cursorLsn, boundaries, pruned }: HistoryFacts,
): string {
  const what = disk === null ? 'everything that was not written later' : 'these bytes';
  if (to <= pruned) return 'all points: no point needs these records any more';
  const step = [...boundaries, cursorLsn].find((boundary) => boundary >= to);
  if (step !== undefined && step <= cursorLsn)
    return `all points but those from lsn:${from} up to lsn:${step}, where ${what} cannot be read`;
  return `all points before lsn:${from}; later ones but for ${what}, until written again`;
}

function affectedByUndo({ from, to, disk }: Finding): string {
  const what = disk === null ? 'what this step changed' : 'these bytes';
  return (
    `all points from lsn:${to} on; of those before, lsn:${from} among them, all but ${what}, ` +
    'unless an older step has it'
  );
}

function affectedByReplica({ from }: Finding): string {
  return (
    `all points at which these bytes were not as they are at lsn:${from}: ` +
    'before a write that undo remembers, and after the next one'
  );
}

/** What can be had of a source today, where nothing copies just the damaged bytes again. */
export const resyncWords = (machine: string): string =>
  'resync of the machine from the source: nothing copies just these bytes again in this version; what the ' +
  `source writes again is sound from then on, and \`homeward protect ${machine} --master-target OTHER\` ` +
  'copies all of it';
