// What is said of a machine's signal: as data, and in words.
import { limits } from '../../../core/limits.ts';
import type { SignalReport } from '../../control/service.ts';
import type { SignalMark } from '../machine-file.ts';
import type { SignalEvent } from './detector.ts';
import { markTime, spellTime } from './marks.ts';

export interface SignalFacts {
  marks: readonly SignalMark[];
  oldestLsn: number | null;
  event: SignalEvent | null;
  isKnown: boolean;
}

export function describeSignal({ marks, oldestLsn, event, isKnown }: SignalFacts): SignalReport {
  const last = marks.at(-1) ?? null;
  const isThere = last !== null && oldestLsn !== null && last.lsn >= oldestLsn;
  if (event === null && !isThere) {
    const state = isKnown ? 'normal' : 'unknown';
    return { state, lastClean: null, since: null, ended: null, share: null };
  }
  return {
    state: event === null ? 'ended' : 'suspected',
    lastClean: isThere ? { lsn: last.lsn, time: last.time } : null,
    since: last?.since ?? (event === null ? null : spellTime(event.onset.time)),
    ended: event === null ? (last?.ended ?? null) : null,
    share: Math.max(event?.share ?? 0, last?.share ?? 0),
  };
}

/** For the status line; null when there is nothing to say, or it was long ago. */
export function signalDetail(report: SignalReport, now: number): string | null {
  const { state, since, ended, share, lastClean } = report;
  if (state !== 'suspected' && state !== 'ended') return null;
  if (ended !== null && markTime(ended) + limits.signalShownMs * 1000 < now) return null;
  const when = ended === null ? `since ${since}` : `from ${since} to ${ended}`;
  const percent = `${Math.round((share ?? 0) * 100)} % of what is rewritten`;
  const clean = lastClean === null ? '' : `; last clean moment lsn:${lastClean.lsn} (${lastClean.time})`;
  return `encryption suspected ${when} (${percent})${clean}`;
}
