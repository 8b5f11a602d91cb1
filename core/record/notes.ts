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
}

export function encodeNote(note: TagNote | SyncBeginNote | Record<string, never>): Buffer {
  const payload = Buffer.from(JSON.stringify(note), 'utf8');
  assert(payload.length <= limits.recordNoteBytes, 'a note fits its record');
  return payload;
}

/** The tag in a payload, or null when it is not one. */
export function decodeTagNote(payload: Buffer): TagNote | null {
  const note = parseObject(payload);
  const { name, consistency } = note ?? {};
  if (typeof name !== 'string') return null;
  const known = consistency === 'crash' || consistency === 'application' || consistency === 'user';
  return { name, consistency: known ? consistency : 'user' };
}

/** The reason in the payload of a `sync-begin`; *unknown* when it cannot be read. */
export function decodeSyncReason(payload: Buffer): string {
  const reason = parseObject(payload)?.['reason'];
  return typeof reason === 'string' ? reason : 'unknown';
}

function parseObject(payload: Buffer): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(payload.toString('utf8'));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null; // a payload that fits its CRC but is no JSON comes from a newer version
  }
}
