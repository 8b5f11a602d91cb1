// The JSON payloads of records that carry no data: tags and the ends of a sync.
import { limits } from '../limits.ts';
import { assert } from '../errors.ts';

export type Consistency = 'crash' | 'application' | 'user';

export interface TagNote {
  name: string;
  consistency: Consistency;
}
export interface SyncBeginNote {
  reason: string;
  disks: { name: string; size: number }[];
  /** Only what differs from the state before will be sent. */
  checksums?: boolean;
  /** Every byte of every disk will be compared or sent: it makes up for whatever is missing before. */
  full?: boolean;
  /** Some of what the target may lack will not be sent: it makes up for nothing. */
  part?: boolean;
}

export function encodeNote(note: TagNote | SyncBeginNote | Record<string, never>): Buffer {
  const payload = Buffer.from(JSON.stringify(note), 'utf8');
  assert(payload.length <= limits.recordNoteBytes, 'a note fits its record');
  return payload;
}

/** The tag in a payload, or null when it is not one. */
export function decodeTagNote(payload: Buffer): TagNote | null {
  return parseTagNote(parseObject(payload));
}

/** The tag that a JSON value is, or null. What is said of its consistency by a newer version is `user`. */
export function parseTagNote(value: unknown): TagNote | null {
  if (typeof value !== 'object' || value === null) return null;
  const { name, consistency } = value as Partial<Record<keyof TagNote, unknown>>;
  if (typeof name !== 'string') return null;
  const known = consistency === 'crash' || consistency === 'application' || consistency === 'user';
  return { name, consistency: known ? consistency : 'user' };
}

/** The payload of a `sync-begin`; what cannot be read is the reason *unknown*, no disks, nothing else. */
export function decodeSyncBegin(payload: Buffer): Required<SyncBeginNote> {
  const { reason, disks, checksums, full, part } = parseObject(payload) ?? {};
  return {
    reason: typeof reason === 'string' ? reason : 'unknown',
    disks: Array.isArray(disks) && disks.every(isDisk) ? disks.map(({ name, size }) => ({ name, size })) : [],
    checksums: checksums === true,
    full: full === true,
    part: part === true,
  };
}

function isDisk(value: unknown): value is { name: string; size: number } {
  if (typeof value !== 'object' || value === null || !('name' in value) || !('size' in value)) return false;
  return typeof value.name === 'string' && Number.isSafeInteger(value.size) && Number(value.size) >= 0;
}

function parseObject(payload: Buffer): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(payload.toString('utf8'));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null; // a payload that fits its CRC but is no JSON comes from a newer version
  }
}
