// The rules for what stays of older history: `hourly=7d,daily=4w,weekly=6m,tags=4w`, as text and as data.
import { HomewardError } from './errors.ts';
import { limits } from './limits.ts';

const hourMs = 3600_000;
const dayMs = 24 * hourMs;

/** Rules that keep the last point before each mark, finest first, and how far marks are apart. */
export const markPeriodMs = {
  hourly: hourMs,
  daily: dayMs,
  weekly: 7 * dayMs,
  monthly: 30 * dayMs,
  yearly: 365 * dayMs,
} as const;
export type MarkRule = keyof typeof markPeriodMs;

export const markRules = Object.keys(markPeriodMs) as MarkRule[];

/** How long what is kept, in milliseconds; what is not there is not kept beyond the dense window. */
export type KeepRules = { readonly [R in MarkRule | 'tags']?: number };

const ruleNames: readonly string[] = [...markRules, 'tags'];

// Minutes would make no sense here, so that m is free for months.
const unitMs: Record<string, number> = { h: hourMs, d: dayMs, w: 7 * dayMs, m: 30 * dayMs, y: 365 * dayMs };

/** Reads rules; nothing, or `none`, is no rule at all. Throws 'bad-keep-rules'. */
export function parseKeepRules(text: string): KeepRules {
  const rules: Partial<Record<keyof KeepRules, number>> = {};
  if (text.trim() === '' || text.trim() === 'none') return rules;
  for (const part of text.split(',')) {
    const [name, ms] = parseRule(part.trim());
    if (rules[name] !== undefined) throw refused(`"${name}" is there twice`);
    rules[name] = ms;
  }
  return rules;
}

/** As `parseKeepRules` reads it, finest rule first; `none` for no rule. */
export function formatKeepRules(rules: KeepRules): string {
  const parts = ruleNames.flatMap((name) => {
    const ms = rules[name as keyof KeepRules];
    return ms === undefined ? [] : [`${name}=${formatKeepTime(ms)}`];
  });
  return parts.length === 0 ? 'none' : parts.join(',');
}

function parseRule(part: string): [keyof KeepRules, number] {
  const [, name = '', value = ''] = /^([^=]*)=(.*)$/.exec(part) ?? [];
  if (!isRuleName(name)) {
    const what = part === '' ? 'there is a comma too many' : `"${part}" is not a rule`;
    throw refused(`${what}: it is NAME=TIME with ${ruleNames.join(', ')}`);
  }
  const [, count, unit = ''] = /^(\d+)([hdwmy])$/.exec(value.trim()) ?? [];
  const ms = Number(count) * (unitMs[unit] ?? NaN);
  if (!Number.isSafeInteger(ms) || ms <= 0)
    throw refused(`"${part}" has no time: it is a number with h, d, w, m (months) or y`);
  checkReach(name, ms, part);
  return [name, ms];
}

/** A rule that is shorter than its period keeps nothing that can be relied on; each kept point is a file. */
function checkReach(name: keyof KeepRules, ms: number, part: string): void {
  if (ms > limits.keepMostMs)
    throw refused(`"${part}" reaches too far: ${formatKeepTime(limits.keepMostMs)} is the most`);
  if (name === 'tags') return;
  const period = markPeriodMs[name];
  if (ms < period) throw refused(`"${part}" is shorter than ${formatKeepTime(period)}, the time between two`);
  if (ms / period > limits.keptPerRule) {
    const most = `at the most ${limits.keptPerRule} are kept by one rule`;
    throw refused(`"${part}" would keep ${Math.floor(ms / period)} points; ${most}`);
  }
}

const isRuleName = (name: string): name is keyof KeepRules => ruleNames.includes(name);

function refused(why: string): HomewardError {
  return new HomewardError('bad-keep-rules', `the rules for older history cannot be: ${why}`);
}

/** In the largest unit that is exact: `7d` and not `1w`, as people write it, but `4w`. */
function formatKeepTime(ms: number): string {
  if (ms === 7 * dayMs) return '7d';
  const unit = (['y', 'm', 'w', 'd'] as const).find((each) => ms % (unitMs[each] ?? NaN) === 0) ?? 'h';
  return `${ms / (unitMs[unit] ?? hourMs)}${unit}`;
}
