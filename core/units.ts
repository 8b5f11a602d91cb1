// The units that positions and amounts are counted in, and the spellings people use for them.
import { HomewardError } from './errors.ts';

/** A place in one machine's sequence of writes; 0 is the state before the first. */
export type Lsn = number & { readonly unit: 'lsn' };
/** An amount of bytes. */
export type ByteCount = number & { readonly unit: 'bytes' };
/** Microseconds since 1970-01-01T00:00:00Z. */
export type Microseconds = number & { readonly unit: 'us' };

export const KiB = 1024;
export const MiB = 1024 * KiB;
export const GiB = 1024 * MiB;
export const TiB = 1024 * GiB;

const natural = (value: number, unit: string): number => {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${value} is not a valid ${unit}`);
  return value;
};

export const lsn = (value: number): Lsn => natural(value, 'LSN') as Lsn;
export const byteCount = (value: number): ByteCount => natural(value, 'byte count') as ByteCount;
export const microseconds = (value: number): Microseconds => natural(value, 'time') as Microseconds;

/** The smallest multiple of `unit` that is not below `value`. */
export const roundUp = (value: number, unit: number): number => Math.ceil(value / unit) * unit;

const sizeUnits: Record<string, number> = { '': 1, K: KiB, M: MiB, G: GiB, T: TiB };

/** Reads SIZE as users write it: bytes, or K M G T by 1024 (`20G`, `512M`, `1048576`). */
export function parseSize(text: string): ByteCount {
  const match = /^(\d+(?:\.\d+)?)([KMGT]?)(?:iB|B)?$/i.exec(text.trim());
  const value = match ? Number(match[1]) * (sizeUnits[(match[2] ?? '').toUpperCase()] ?? NaN) : NaN;
  if (!Number.isSafeInteger(value) || value <= 0) {
    throw new HomewardError('bad-size', `"${text}" is not a size`);
  }
  return byteCount(value);
}

/** Writes a byte count as `parseSize` reads it, exactly: `512M`, `1000`. */
export function spellSize(bytes: number): string {
  const [name, unit] = Object.entries(sizeUnits).findLast(([, each]) => bytes > 0 && bytes % each === 0) ?? [
    '',
    1,
  ];
  return `${bytes / unit}${name}`;
}

/** Writes a byte count for people: `1.5 GiB`. */
export function formatSize(bytes: number): string {
  for (const [name, unit] of [
    ['TiB', TiB],
    ['GiB', GiB],
    ['MiB', MiB],
    ['KiB', KiB],
  ] as const) {
    if (bytes >= unit) return `${(bytes / unit).toFixed(1).replace(/\.0$/, '')} ${name}`;
  }
  return `${bytes} B`;
}

const dayMs = 86400e3;
const durationUnits: Record<string, number> = {
  ...{ ms: 1, s: 1e3, m: 60e3, h: 3600e3 },
  ...{ d: dayMs, w: 7 * dayMs, y: 365 * dayMs },
};

/** The largest first; 24 hours stay hours. */
const spelledUnits: Record<string, number> = { h: 3600e3, m: 60e3, s: 1e3, ms: 1 };

/** Reads a duration as users write it (`15m`, `24h`, `4w`, `1y`, `500ms`) into milliseconds. */
export function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d|w|y)$/.exec(text.trim());
  const value = match ? Number(match[1]) * (durationUnits[match[2] ?? ''] ?? NaN) : NaN;
  if (!Number.isFinite(value)) throw new HomewardError('bad-duration', `"${text}" is not a duration`);
  return value;
}

/** Writes milliseconds as `parseDuration` reads them, exactly: `24h`, `15d`, `90s`. */
export function spellDuration(ms: number): string {
  if (ms > dayMs && ms % dayMs === 0) return `${ms / dayMs}d`;
  const [name, unit] = Object.entries(spelledUnits).find(([, each]) => ms % each === 0) ?? ['ms', 1];
  return `${ms / unit}${name}`;
}
