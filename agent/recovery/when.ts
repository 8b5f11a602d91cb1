// WHEN: what users type for a moment, and the LSN that it means on one machine.
import { HomewardError } from '../../core/errors.ts';
import { formatTime } from '../../core/clock.ts';
import { microseconds, parseDuration } from '../../core/units.ts';
import { formatTyped, parseTime, type TypedTime } from '../../core/when-time.ts';
import type { TagNote } from '../../core/record/notes.ts';
import type { Catalogue, Gap } from '../journal/catalogue.ts';

/** Times are microseconds since 1970. */
export type When =
  | { kind: 'latest' | 'latest-tag' | 'latest-app' }
  | { kind: 'tag'; name: string }
  | { kind: 'lsn'; lsn: number }
  | { kind: 'ago'; ms: number }
  | ({ kind: 'time' } & TypedTime);

/** Reads WHEN. A time without an offset is in this process's zone; the command line sends none. */
export function parseWhen(text: string): When {
  if (text === 'latest' || text === 'latest-tag' || text === 'latest-app') return { kind: text };
  if (text.startsWith('tag:') && text.length > 4) return { kind: 'tag', name: text.slice(4) };
  const lsnText = /^lsn:(\d+)$/.exec(text)?.[1];
  if (lsnText !== undefined && Number.isSafeInteger(Number(lsnText)))
    return { kind: 'lsn', lsn: Number(lsnText) };
  if (/^-\d/.test(text)) return { kind: 'ago', ms: parseAgo(text) };
  const time = parseTime(text);
  if (time === null) throw new HomewardError('bad-when', `"${text}" is not a moment`);
  return { kind: 'time', ...time };
}

/** WHEN with "that long ago" made the time it is at `now`, and the time asked for in UTC, if it is one. */
export function settleWhen(text: string, now: number): { at: string; asked: string | null } {
  const when = parseWhen(text);
  if (when.kind === 'time') return { at: text, asked: spell(when.time) };
  if (when.kind !== 'ago') return { at: text, asked: null };
  const asked = spell(now - when.ms * 1000);
  return { at: asked, asked };
}

function parseAgo(text: string): number {
  try {
    return parseDuration(text.slice(1));
  } catch (cause) {
    throw new HomewardError('bad-when', `"${text}" is not a moment`, { cause });
  }
}

/**
 * A point whose neighbours are gone: the state from `time` until (excluding) `untilTime`, as far as is
 * known.
 */
export interface KeptMoment {
  lsn: number;
  time: number;
  untilTime: number;
  tag: TagNote | null;
}

/** What resolving needs to know of a machine. */
export interface Moments {
  /** Where the dense window begins, in which every LSN can be shown; null while there is no point. */
  oldest: { lsn: number; time: number } | null;
  /** The points before it that are kept, oldest first. */
  kept: readonly KeptMoment[];
  /** Points with names that nobody gave them, in LSN order: before a mass encryption. */
  marks?: readonly { lsn: number; name: string }[];
  /** The newest durable LSN, and its time. */
  newest: { lsn: number; time: number };
  now: number;
  catalogue: Catalogue;
  /** Whether a moment is shown without redo: then it does not matter that its record is lost. */
  isBoundary?(lsn: number): boolean;
  /** The newest record stamped at or before a time; `oldest.lsn` when there is none after that. */
  lsnAtTime(time: number): number;
}

/**
 * The LSN that `when` means. Never a neighbour by silence: what cannot be shown is an error that says why.
 */
export function resolveWhen(when: When, moments: Moments): number {
  const lsn = wantedLsn(when, moments);
  const { oldest, newest, catalogue } = moments;
  if (oldest === null)
    throw new HomewardError('no-points', 'the first copy has not ended: there is no point yet');
  if (moments.kept.some((point) => point.lsn === lsn)) return lsn;
  const gap = lsn > newest.lsn ? null : catalogue.gapAt(lsn);
  if (gap !== null)
    throw inGap(when.kind === 'time' ? `${formatTyped(when)}, lsn:${lsn},` : `lsn:${lsn}`, gap);
  if (lsn < oldest.lsn || lsn > newest.lsn) throw unavailable(`lsn:${lsn}`, lsn, moments);
  const lost = catalogue.lost.find((range) => range.from <= lsn && lsn <= range.to);
  if (lost !== undefined && moments.isBoundary?.(lsn) !== true) {
    throw new HomewardError('damaged', `lsn:${lsn} is among the lost records ${lost.from} to ${lost.to}`);
  }
  return lsn;
}

function wantedLsn(when: When, moments: Moments): number {
  const { newest, now } = moments;
  switch (when.kind) {
    case 'latest':
      return latestPoint(moments);
    case 'latest-tag':
      return tagLsn(
        newestTag(moments, () => true),
        'there is no tag',
      );
    case 'latest-app': {
      const lsn = newestTag(moments, ({ consistency }) => consistency === 'application');
      return tagLsn(lsn, 'there is no application-consistent tag');
    }
    case 'tag':
      return tagLsn(
        newestTag(moments, ({ name }) => name === when.name) ?? marked(when.name, moments),
        `there is no tag "${when.name}"`,
      );
    case 'lsn':
      return when.lsn;
    case 'ago':
      return atTime(now - when.ms * 1000, spell(now - when.ms * 1000), moments);
    case 'time':
      if (when.time > now && when.time > newest.time) {
        throw new HomewardError('in-future', `${formatTyped(when)} has not come yet: it is ${spell(now)}`);
      }
      return atTime(when.time, formatTyped(when), moments);
  }
}

/** The newest durable point: before an open gap, when one is open. */
function latestPoint({ newest, catalogue }: Moments): number {
  const gap = catalogue.gapAt(newest.lsn);
  return gap === null ? newest.lsn : gap.from - 1;
}

function newestTag({ catalogue, kept }: Moments, fits: (tag: TagNote) => boolean): number | undefined {
  return catalogue.tags.findLast(fits)?.lsn ?? kept.findLast(({ tag }) => tag !== null && fits(tag))?.lsn;
}

const marked = (name: string, { marks = [] }: Moments): number | undefined =>
  marks.findLast((mark) => mark.name === name)?.lsn;

function tagLsn(lsn: number | undefined, message: string): number {
  if (lsn === undefined) throw new HomewardError('no-such-tag', message);
  return lsn;
}

function atTime(time: number, what: string, moments: Moments): number {
  const { oldest } = moments;
  if (oldest === null) return 0; // refused by the caller
  if (time < oldest.time) return keptAt(time, what, moments);
  return Math.min(moments.lsnAtTime(time), moments.newest.lsn);
}

/** Exact there, too: the point whose state it was at `time`, if that is kept. */
function keptAt(time: number, what: string, moments: Moments): number {
  const { kept } = moments;
  const at = kept.findLastIndex((point) => point.time <= time);
  const point = kept[at];
  if (point === undefined) throw outside(what, moments);
  if (time >= point.untilTime) throw thinned(what, point, kept[at + 1] ?? moments.oldest);
  return point.lsn;
}

function unavailable(what: string, lsn: number, moments: Moments): HomewardError {
  const { kept, oldest } = moments;
  const at = kept.findLastIndex((point) => point.lsn < lsn);
  const before = kept[at];
  if (before === undefined || lsn > (oldest?.lsn ?? 0)) return outside(what, moments);
  return thinned(what, before, kept[at + 1] ?? oldest);
}

function thinned(what: string, before: Neighbour, after: Neighbour | null): HomewardError {
  const next = after === null ? '' : `, the next is ${spellPoint(after)}`;
  return new HomewardError(
    'thinned',
    `${what} is in thinned history: the point before is ${spellPoint(before)}${next}`,
  );
}

type Neighbour = { lsn: number; time: number };
const spellPoint = ({ lsn, time }: Neighbour): string => `lsn:${lsn} (${spell(time)})`;

function outside(what: string, { oldest: dense, kept, newest }: Moments): HomewardError {
  const oldest = kept[0] ?? dense;
  const from = `lsn:${oldest?.lsn} (${spell(oldest?.time ?? 0)})`;
  return new HomewardError(
    'outside-window',
    `${what} is outside the window, which reaches from ${from} to lsn:${newest.lsn} (${spell(newest.time)})`,
  );
}

function inGap(what: string, gap: Gap): HomewardError {
  const after = gap.to === null ? 'it has not ended' : `the next point is lsn:${gap.to}`;
  const before = gap.from > 1 ? `the point before is lsn:${gap.from - 1}` : 'there is no point before';
  return new HomewardError('in-gap', `${what} lies in a gap (${gap.reason}): ${before}, ${after}`);
}

const spell = (time: number): string => formatTime(microseconds(Math.max(0, Math.round(time))));
