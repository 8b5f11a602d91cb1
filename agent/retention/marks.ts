// The full hours, days, weeks, months and years (UTC) before each of which one point is kept.
import { markRules, type KeepRules, type MarkRule } from '../../core/keep-rules.ts';
import { limits } from '../../core/limits.ts';

const hour = 3600 * 1e6;
const day = 24 * hour;
const week = 7 * day;
/** 1970-01-05 was a Monday. */
const firstMonday = 4 * day;

/** The last mark at or before `time`. All times are microseconds. */
export function markAtOrBefore(time: number, rule: MarkRule): number {
  switch (rule) {
    case 'hourly':
      return floorTo(time, hour);
    case 'daily':
      return floorTo(time, day);
    case 'weekly':
      return floorTo(time - firstMonday, week) + firstMonday;
    case 'monthly':
    case 'yearly':
      return calendarMark(time, rule, 0);
  }
}

/** The first mark after `time`. */
export function markAfter(time: number, rule: MarkRule): number {
  switch (rule) {
    case 'hourly':
      return markAtOrBefore(time, rule) + hour;
    case 'daily':
      return markAtOrBefore(time, rule) + day;
    case 'weekly':
      return markAtOrBefore(time, rule) + week;
    case 'monthly':
    case 'yearly':
      return calendarMark(time, rule, 1);
  }
}

/** The first mark at or after `time`. */
export function markAtOrAfter(time: number, rule: MarkRule): number {
  const before = markAtOrBefore(time, rule);
  return before === time ? time : markAfter(time, rule);
}

/** The first mark of any rule after `afterTime`, where a step should end; null without rules for marks. */
export function nextMarkTime(afterTime: number, rules: KeepRules): number | null {
  const marks = activeRules(rules).map((rule) => markAfter(afterTime, rule));
  return marks.length === 0 ? null : Math.min(...marks);
}

/**
 * The marks in [fromTime, toTime) that are still live at `now`, in order. At the most
 * `limits.marksAtOnce`, the newest: a clock that jumped by years must not cost an hour of work.
 */
export function marksIn(fromTime: number, toTime: number, rules: KeepRules, now: number): number[] {
  const found = new Set<number>();
  for (const rule of activeRules(rules)) {
    let mark = markAtOrBefore(toTime - 1, rule);
    for (let count = 0; count < limits.marksAtOnce && mark >= fromTime; count++) {
      if (liveUntil(mark, rule, rules) <= now) break;
      found.add(mark);
      mark = markAtOrBefore(mark - 1, rule);
    }
  }
  return [...found].sort((one, other) => one - other).slice(-limits.marksAtOnce);
}

/**
 * When the point before `mark` is not wanted by `rule` any more. All marks of one rule in one period of the
 * next coarser one end together, with the last of them: so hourly points become a daily one in one merge and
 * not in 23.
 */
export function liveUntil(mark: number, rule: MarkRule, rules: KeepRules): number {
  const keepMs = rules[rule];
  if (keepMs === undefined) return -Infinity;
  const coarser = markRules.slice(markRules.indexOf(rule) + 1).find((other) => (rules[other] ?? 0) > keepMs);
  const last = coarser === undefined ? mark : markAtOrAfter(mark, coarser);
  return last + keepMs * 1000;
}

export function activeRules(rules: KeepRules): MarkRule[] {
  return markRules.filter((rule) => rules[rule] !== undefined);
}

const floorTo = (time: number, unit: number): number => Math.floor(time / unit) * unit;

function calendarMark(time: number, rule: 'monthly' | 'yearly', later: number): number {
  const date = new Date(Math.floor(time / 1000));
  const [year, month] = [date.getUTCFullYear(), date.getUTCMonth()];
  return (rule === 'monthly' ? Date.UTC(year, month + later) : Date.UTC(year + later, 0)) * 1000;
}
