// Times as users type them: what they mean, in whose zone, and how they are shown again.
import { HomewardError } from './errors.ts';
import { formatTime } from './clock.ts';
import { microseconds } from './units.ts';

export interface TypedTime {
  /** Microseconds since 1970. */
  time: number;
  /** The time with its offset; that of this process's zone when none was typed. */
  text: string;
}

const pattern =
  /^(\d{4})-(\d{2})-(\d{2})[T ](\d{2}):(\d{2})(?::(\d{2}))?(?:\.(\d{1,9}))?(?:(Z)|([+-])(\d{2}):?(\d{2}))?$/i;

/** Year, month from 0, day, hour, minute and second. */
type Parts = [number, number, number, number, number, number];

/**
 * Reads a time; null for what is none, also for a day, an hour or a moment of a clock change that there is
 * not: `Date` would move on to the next one. A local hour that comes twice is the first of both.
 */
export function parseTime(text: string): TypedTime | null {
  const match = pattern.exec(text);
  if (match === null) return null;
  const [, year, month, day, hour, minute, second = '00', digits = '', utc, sign, hours, minutes] = match;
  const parts = [year, month, day, hour, minute, second].map(Number) as Parts;
  parts[1] -= 1;
  const offset = typedOffset(utc, sign, hours, minutes);
  const moment = offset === null ? localMoment(parts) : movedMoment(parts, offset);
  if (moment === null) return null;
  const time = moment.ms * 1000 + Number(digits.slice(0, 6).padEnd(6, '0'));
  if (!Number.isSafeInteger(time)) throw new HomewardError('in-future', `${text} has not come yet`);
  const clock = `${year}-${month}-${day}T${hour}:${minute}:${second}${digits === '' ? '' : `.${digits}`}`;
  // A zone of long ago may be seconds off the minute, which an offset cannot say.
  const whole = Number.isInteger(moment.offset);
  return { time, text: whole ? clock + formatOffset(moment.offset, utc) : formatMicros(time) };
}

/** Minutes, null when none was typed, NaN when there is none like it. */
function typedOffset(utc?: string, sign?: string, hours?: string, minutes?: string): number | null {
  if (utc !== undefined) return 0;
  if (sign === undefined) return null;
  if (Number(hours) > 23 || Number(minutes) > 59) return NaN;
  return (sign === '-' ? -1 : 1) * (Number(hours) * 60 + Number(minutes));
}

function movedMoment(parts: Parts, offset: number): { ms: number; offset: number } | null {
  const date = new Date(Date.UTC(...parts));
  const found = date.toISOString().slice(0, 19);
  return Number.isNaN(offset) || found !== spellParts(parts)
    ? null
    : { ms: date.getTime() - offset * 60_000, offset };
}

function localMoment(parts: Parts): { ms: number; offset: number } | null {
  const date = new Date(...parts);
  const found: Parts = [
    date.getFullYear(),
    date.getMonth(),
    date.getDate(),
    date.getHours(),
    date.getMinutes(),
    date.getSeconds(),
  ];
  if (spellParts(found) !== spellParts(parts)) return null;
  return { ms: date.getTime(), offset: (Date.UTC(...parts) - date.getTime()) / 60_000 };
}

function spellParts([year, month, ...rest]: Parts): string {
  const [day, hour, minute, second] = rest.map((part) => String(part).padStart(2, '0'));
  const date = `${String(year).padStart(4, '0')}-${String(month + 1).padStart(2, '0')}-${day}`;
  return `${date}T${hour}:${minute}:${second}`;
}

function formatOffset(offset: number, utc: string | undefined): string {
  if (utc !== undefined) return 'Z';
  const minutes = Math.abs(offset);
  const pad = (value: number): string => String(value).padStart(2, '0');
  return `${offset < 0 ? '-' : '+'}${pad(Math.floor(minutes / 60))}:${pad(minutes % 60)}`;
}

const formatMicros = (time: number): string => formatTime(microseconds(Math.max(0, Math.round(time))));

/** RFC 3339 in UTC, without a fraction that is nothing. */
export const formatUtc = (time: number): string => shorten(formatMicros(time));

const shorten = (text: string): string => text.replace(/(\.\d*?)0+Z$/, '$1Z').replace('.Z', 'Z');

/** As typed and in UTC: `2026-11-22T10:00:00+01:00 (2026-11-22T09:00:00Z)`; once, if both are the same. */
export function formatTyped({ time, text }: TypedTime): string {
  const utc = formatUtc(time);
  return shorten(text) === utc ? utc : `${text} (${utc})`;
}
