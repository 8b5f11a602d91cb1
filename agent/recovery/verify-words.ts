// Says in words what damage means: which points it touches, and which it does not. Pure.
import { limits } from '../../core/limits.ts';
import type { DiskRange } from '../control/service.ts';
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
  if (finding.in === 'ledger')
    return 'all points that are there, which are checked without it: others may be gone unseen';
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

/** What is to be done about what the newest moment lacks; null where nothing is. */
export function resyncWords(extents: readonly DiskRange[], command: string | null): string | null {
  if (extents.length === 0)
    return 'the newest moment lacks nothing of this, and older content is in no source any more';
  if (command !== null)
    return (
      'it is compared there in regions of 4 MiB, and what differs is sent; ' +
      'moments before that stay as they are'
    );
  const places = extents
    .slice(0, limits.resyncOffered)
    .map(({ disk, start, end }) => `${disk} [${start}, ${end})`);
  const more = extents.length > places.length ? ' and more' : '';
  return (
    'no source can be asked to send this again: what writes to the machine has to write these bytes again, ' +
    `which are errors or damaged until then: ${places.join(', ')}${more}`
  );
}
