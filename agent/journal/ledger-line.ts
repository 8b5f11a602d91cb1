// One line of the ledger, and the chain that the lines form: format, checks, and how far a content is sound.
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { limits } from '../../core/limits.ts';

/** What happened to the files of a machine's history. */
export const ledgerEvents = [
  'opened', // a start
  'sealed', // a redo segment is complete
  'stepped', // an undo segment was made by a step of the cursor
  'split', // an undo segment was made by a split
  'merged', // an undo segment was made by a merge
  'found', // a file without a line was taken up
  'rolled', // an undo segment goes: its step was taken back
  'pruned', // a file goes; without one: the redo segments that end at or below `to`
  'missed', // a file that should be there is not
  'locked',
  'unlocked',
  'lost', // records that cannot be read any more
  'unknown', // content that is lost
  'handed-over',
  'released',
  'clock', // times were anchored anew
  'cut', // what stood in the ledger from here on was not sound
  'rotated', // `count` lines `kept` follow: what was there when the ledger began anew
  'kept',
] as const;
export type LedgerEvent = (typeof ledgerEvents)[number];

export interface LedgerEntry {
  event: LedgerEvent;
  /** Below the machine's directory, such as `redo/0000000000000001.seg`. */
  file?: string;
  /** LSNs: first and last record of a redo segment, the boundaries of a step. */
  from?: number;
  to?: number;
  /** How far the content of the file reaches, and BLAKE2b-256 of that in hex. */
  bytes?: number;
  hash?: string;
  count?: number;
  /** RFC 3339: the end of a lock. */
  until?: string;
  /** In words: a reason, or who. */
  why?: string;
}

/** `time` is microseconds of this host's clock, `prev` the hash of the line before. */
export interface LedgerLine extends LedgerEntry {
  n: number;
  time: number;
  prev: string;
}

export interface LedgerHead {
  n: number;
  hash: string;
}

/** What the first line of all says of the line before. */
export const noHead: LedgerHead = { n: 0, hash: '' };

/** Why the last line does not count that a crash broke off in. */
export const tornEnd = 'the last line has no end';

const newline = 10;
const crcPattern = /^,"crc":"([0-9a-f]{8})"\}$/;
const crcBytes = ',"crc":"00000000"}'.length;

/** The line as it is written, with its CRC and a newline. */
export function formatLine(line: LedgerLine): Buffer {
  const text = JSON.stringify(line);
  const crc = crc32(text).toString(16).padStart(8, '0');
  return Buffer.from(`${text.slice(0, -1)},"crc":"${crc}"}\n`);
}

/** The `prev` of the next line: BLAKE2b-512 cut to 256 bits, in hex, of the line without its newline. */
export function hashLine(written: Buffer): string {
  const line = written.at(-1) === newline ? written.subarray(0, -1) : written;
  return createHash('blake2b512').update(line).digest('hex').slice(0, 64);
}

/** The line in `bytes`, which are without the newline, or null when they are not what was written. */
export function parseLine(bytes: Buffer): LedgerLine | null {
  const split = bytes.length - crcBytes;
  const found = split < 1 ? undefined : crcPattern.exec(bytes.toString('latin1', split))?.[1];
  if (found === undefined) return null;
  const text = Buffer.concat([bytes.subarray(0, split), closing]);
  if (parseInt(found, 16) !== crc32(text)) return null;
  try {
    const value: unknown = JSON.parse(text.toString('utf8'));
    return isLine(value) ? value : null;
  } catch {
    return null; // who wrote this knew how to reckon a CRC, and nothing else of a ledger
  }
}

const closing = Buffer.from('}');

/** How far a content is a sound chain. */
export interface ReadChain {
  /** The last sound line; `noHead` when there is none. */
  head: LedgerHead;
  lines: number;
  /** Bytes of the sound lines. */
  end: number;
  /** Why what follows does not count, or null when nothing follows. */
  cut: string | null;
}

/** Shows the sound lines from the first on, up to the first that is damaged, out of place or cut. */
export function readChain(content: Buffer, show: (line: LedgerLine) => void): ReadChain {
  const chain: ReadChain = { head: noHead, lines: 0, end: 0, cut: null };
  if (content.length === 0) chain.cut = 'it is empty';
  while (chain.end < content.length && chain.cut === null) {
    const stop = content.indexOf(newline, chain.end);
    if (stop < 0) return { ...chain, cut: whyEndless(content.subarray(chain.end), chain) };
    const bytes = content.subarray(chain.end, stop);
    const line = bytes.length > limits.ledgerLineBytes ? null : parseLine(bytes);
    chain.cut = line === null ? `line ${chain.lines + 1} is damaged` : misplaced(line, chain);
    if (line === null || chain.cut !== null) return chain;
    show(line);
    chain.head = { n: line.n, hash: hashLine(bytes) };
    chain.lines += 1;
    chain.end = stop + 1;
  }
  return chain;
}

/** A crash leaves a beginning of a line; what is whole, but for the end of the line, was damaged later. */
function whyEndless(rest: Buffer, { lines }: ReadChain): string {
  const isWhole = rest.length <= limits.ledgerLineBytes && parseLine(rest.subarray(0, -1)) !== null;
  return isWhole ? `line ${lines + 1} is damaged` : tornEnd;
}

/** The first line of a ledger is the first of all, or the one that a rotation began with. */
function misplaced(line: LedgerLine, { head, lines }: ReadChain): string | null {
  if (lines === 0 && line.event === 'rotated') return null;
  if (line.n === head.n + 1 && line.prev === head.hash) return null;
  return `line ${lines + 1} does not follow the one before`;
}

function isLine(value: unknown): value is LedgerLine {
  if (typeof value !== 'object' || value === null) return false;
  const { n, time, event, prev, file, from, to, bytes, hash } = value as Partial<
    Record<keyof LedgerLine, unknown>
  >;
  const isNumber = (one: unknown): boolean => one === undefined || Number.isSafeInteger(one);
  const isText = (one: unknown): boolean => one === undefined || typeof one === 'string';
  return (
    Number.isSafeInteger(n) &&
    Number.isSafeInteger(time) &&
    typeof prev === 'string' &&
    ledgerEvents.some((one) => one === event) &&
    [from, to, bytes].every(isNumber) &&
    [file, hash].every(isText)
  );
}
