// How a host does, judged by its silence, its clock and its checks.
import { limits } from '../../core/limits.ts';
import type { CheckSummary } from '../../core/registration/check-summary.ts';

export const Health = { ok: 'ok', warning: 'warning', critical: 'critical', waiting: 'waiting' } as const;
export type Health = (typeof Health)[keyof typeof Health];

/** Why, in words, when it is not ok. */
export interface Judged {
  health: Health;
  detail: string | null;
}

export interface HostFacts {
  /** Null for a host that was never heard. */
  silentMs: number | null;
  skewMs: number | null;
  checks?: CheckSummary | null;
}

export function judgeHost({ silentMs, skewMs, checks = null }: HostFacts): Judged {
  if (silentMs === null) return { health: 'warning', detail: 'not heard yet' };
  if (silentMs > limits.hostLostMs) return { health: 'critical', detail: `silent ${spell(silentMs)}` };
  if (silentMs > limits.hostSilentMs) return { health: 'warning', detail: `silent ${spell(silentMs)}` };
  if (skewMs !== null && Math.abs(skewMs) > limits.clockSkewWarnedMs) {
    return { health: 'warning', detail: `its clock is ${spell(Math.abs(skewMs))} ${side(skewMs)}` };
  }
  if (checks?.checks.some(isOpen) === true)
    return { health: 'warning', detail: 'its service would not start again: checks have failed' };
  return { health: 'ok', detail: null };
}

/** What keeps its service from starting the next time; advice does not, nor what somebody answers for. */
const isOpen = ({ severity, result, because }: CheckSummary['checks'][number]): boolean =>
  severity !== 'advice' && result === 'fail' && because === null;

/** Seconds, minutes or hours, whole. */
export function spell(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 120) return `${seconds} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}

const side = (skewMs: number): string => (skewMs > 0 ? 'ahead' : 'behind');
