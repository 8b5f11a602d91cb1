// `homeward retention`: how the history of a machine is kept, shown or set.
import type { RetentionChange, RetentionReport } from '../../agent/control/client.ts';
import { HomewardError } from '../../core/errors.ts';
import { formatKeepRules, parseKeepRules } from '../../core/keep-rules.ts';
import { formatSize, parseDuration, parseSize } from '../../core/units.ts';
import type { Verb } from '../session.ts';
import { formatFields, formatSeconds } from '../table.ts';

export interface RetentionOptions {
  window?: string;
  keep?: string;
  maxSize?: string;
  floor?: string;
}

export const retention: Verb<RetentionOptions> = async (session, [machine = ''], options) => {
  const change = changeOf(options);
  const report = await session.withClient((client) => client.retention(machine, change));
  session.result(report, () => formatRetention(report, change !== null));
};

/** Null when nothing is to be changed; `default` takes a value back. */
function changeOf({ window, keep, maxSize, floor }: RetentionOptions): RetentionChange | null {
  const change: RetentionChange = {
    ...valueOf('windowMs', window, (text) => durationOf('--window', text)),
    ...valueOf('keep', keep, (text) => formatKeepRules(parseKeepRules(text))),
    ...valueOf('maxBytes', maxSize, (text) => (text === '0' ? 0 : parseSize(text))),
    ...valueOf('floorMs', floor, (text) => (text === '0' ? 0 : Math.round(parseDuration(text)))),
  };
  return Object.keys(change).length === 0 ? null : change;
}

function valueOf<K extends keyof RetentionChange>(
  name: K,
  text: string | undefined,
  parse: (text: string) => number | string,
): RetentionChange {
  if (text === undefined) return {};
  return { [name]: text === 'default' ? null : parse(text) };
}

/** What is outside of the window is thinned at once, so a window of nothing is refused. */
function durationOf(flag: string, text: string): number {
  const ms = Math.round(parseDuration(text));
  if (ms === 0) throw new HomewardError('bad-duration', `${flag} ${text} is no time at all`);
  return ms;
}

const sources: Record<RetentionReport['from'][keyof RetentionReport['from']], string> = {
  machine: 'set for this machine',
  protection: 'as it was protected',
  default: 'the default',
};

export function formatRetention(report: RetentionReport, asked: boolean): string {
  const { machine, windowMs, keep, maxBytes, floorMs, from, changed } = report;
  const unchanged = asked ? ' was kept so already' : '';
  const title = changed
    ? `The history of ${machine} is kept so now`
    : `The history of ${machine}${unchanged}`;
  const gone = changed
    ? 'What neither the window nor a rule names is not kept any more; nothing brings it back.\n'
    : '';
  return `${title}\n${formatFields([
    ['window', `${formatSeconds(windowMs / 1000)}, every write of it (${sources[from.window]})`],
    ['keep', `${keep} (${sources[from.keep]})`],
    ['max size', `${maxBytes === 0 ? 'no bound' : formatSize(maxBytes)} (${sources[from.maxBytes]})`],
    ['floor', `${formatSeconds(floorMs / 1000)} when the volume is full (${sources[from.floor]})`],
  ])}${gone}`;
}
