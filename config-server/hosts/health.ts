// How a host does, judged by its silence and its clock.
import { limits } from '../../core/limits.ts';

export const Health = { ok: 'ok', warning: 'warning', critical: 'critical', waiting: 'waiting' } as const;
export type Health = (typeof Health)[keyof typeof Health];

/** Why, in words, when it is not ok. */
export interface Judged {
  health: Health;
  detail: string | null;
}

/** `silentMs` is null for a host that was never heard. */
export function judgeHost({ silentMs, skewMs }: { silentMs: number | null; skewMs: number | null }): Judged {
  if (silentMs === null) return { health: 'warning', detail: 'not heard yet' };
  if (silentMs > limits.hostLostMs) return { health: 'critical', detail: `silent ${spell(silentMs)}` };
  if (silentMs > limits.hostSilentMs) return { health: 'warning', detail: `silent ${spell(silentMs)}` };
  if (skewMs !== null && Math.abs(skewMs) > limits.clockSkewWarnedMs) {
    return { health: 'warning', detail: `its clock is ${spell(Math.abs(skewMs))} ${side(skewMs)}` };
  }
  return { health: 'ok', detail: null };
}

/** Seconds, minutes or hours, whole. */
export function spell(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 120) return `${seconds} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}

const side = (skewMs: number): string => (skewMs > 0 ? 'ahead' : 'behind');
