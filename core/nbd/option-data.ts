// Reads the data of NBD options; null for data whose lengths do not add up or whose text is not UTF-8.
import { stringBytesMost } from './protocol.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** A name, or null when it is too long or not UTF-8. */
export function parseName(bytes: Uint8Array): string | null {
  if (bytes.length > stringBytesMost) return null;
  try {
    return utf8.decode(bytes);
  } catch {
    return null;
  }
}

/** INFO and GO: `u32 length, name, u16 count, count × u16`. */
export function parseInfoOption(data: Buffer): { name: string; infos: number[] } | null {
  const named = takeString(data, 0);
  if (named === null || data.length < named.end + 2) return null;
  const count = data.readUInt16BE(named.end);
  if (data.length !== named.end + 2 + 2 * count) return null;
  const infos = new Set<number>();
  for (let i = 0; i < count; i++) infos.add(data.readUInt16BE(named.end + 2 + 2 * i));
  return { name: named.text, infos: [...infos] };
}

/** LIST_META_CONTEXT and SET_META_CONTEXT: `u32 length, name, u32 count, count × (u32 length, query)`. */
export function parseContextOption(data: Buffer): { name: string; queries: string[] } | null {
  const named = takeString(data, 0);
  if (named === null || data.length < named.end + 4) return null;
  const count = data.readUInt32BE(named.end);
  const queries: string[] = [];
  let at = named.end + 4;
  for (let i = 0; i < count; i++) {
    const query = takeString(data, at);
    if (query === null) return null;
    queries.push(query.text);
    at = query.end;
  }
  return at === data.length ? { name: named.text, queries } : null;
}

function takeString(data: Buffer, at: number): { text: string; end: number } | null {
  if (data.length < at + 4) return null;
  const end = at + 4 + data.readUInt32BE(at);
  if (end > data.length) return null;
  const text = parseName(data.subarray(at + 4, end));
  return text === null ? null : { text, end };
}
