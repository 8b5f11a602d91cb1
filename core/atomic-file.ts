// Small files that are replaced as a whole: after a crash the old or the new content is there, never a mix;
// sealed ones carry their format, version and a CRC-32, so that a flipped byte is found when they are read.
import fs from 'node:fs';
import path from 'node:path';
import { crc32 } from 'node:zlib';
import { HomewardError, errnoOf } from './errors.ts';
import { writeFullySync } from './full-io.ts';

const temporarySuffix = '.new';
const sealedVersion = 1;
/** Copies in one file are a multiple of this apart: no bad sector or page reaches from one to the other. */
const copyAlign = 4096;

/**
 * Puts `content` at `file`, durably. Crash order: 1 temporary file, synced · 2 rename · 3 directory synced.
 * A crash before 2 leaves the old content and a temporary file that the next call writes over.
 */
export function writeAtomicFile(file: string, content: string | Uint8Array, mode = 0o640): void {
  const temporary = file + temporarySuffix;
  const bytes = typeof content === 'string' ? Buffer.from(content) : content;
  try {
    writeSynced(temporary, bytes, mode);
    fs.renameSync(temporary, file);
  } catch (error) {
    fs.rmSync(temporary, { force: true });
    throw error;
  }
  syncDirectorySync(path.dirname(file));
}

/** The entries of a directory are on stable storage when it returns. */
export function syncDirectorySync(directory: string): void {
  const fd = fs.openSync(directory, 'r');
  try {
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

/** Writes `body` as JSON under the name of its format. `body` holds what JSON can hold. */
export function writeSealedJson(file: string, format: string, body: unknown): void {
  writeAtomicFile(file, seal(format, body));
}

/** The same twice in one file, which reads as long as one of the two is sound. */
export function writeSealedTwice(file: string, format: string, body: unknown): void {
  const text = Buffer.from(seal(format, body));
  const copy = Buffer.alloc(Math.ceil(text.length / copyAlign) * copyAlign, ' ');
  copy.set(text);
  writeAtomicFile(file, Buffer.concat([copy, copy]));
}

/**
 * The body of a sealed file, or null when there is no such file. Anything but what was written is 'damaged'.
 */
export function readSealedJson(file: string, format: string): unknown {
  const bytes = tryRead(file);
  return bytes === null ? null : openSealedJson(bytes.toString(), format, file);
}

/** What a file of two copies has: `damage` is what is wrong with one of them, null when both are sound. */
export interface SealedTwice {
  body: unknown;
  damage: HomewardError | null;
}

/**
 * Reads what `writeSealedTwice` wrote, or `writeSealedJson`; null when there is no such file. Throws
 * 'damaged' when no copy is sound, or two are that differ.
 */
export function readSealedTwice(file: string, format: string): SealedTwice | null {
  const bytes = tryRead(file);
  if (bytes === null) return null;
  const half = bytes.length / 2;
  const isTwice = half > 0 && half % copyAlign === 0;
  const [first, second] = isTwice ? [bytes.subarray(0, half), bytes.subarray(half)] : [bytes];
  const copies = [first, second].flatMap((part) => (part === undefined ? [] : openCopy(part, format, file)));
  const sound = copies.filter((copy) => copy.damage === null);
  if (new Set(sound.map(({ body }) => JSON.stringify(body))).size > 1) {
    throw damaged(file, 'holds two copies of different content');
  }
  // One copy alone may be of any length, and of a file that is cut off the first may still be whole.
  const alone = isTwice ? bytes : bytes.subarray(0, copyAlign);
  const found = sound[0] ?? openCopy(alone, format, file);
  // Only a copy is filled up with blanks: the other one is gone.
  const lost = !isTwice && bytes.at(-1) === 0x20 ? damaged(file, 'has lost one of its two copies') : null;
  const damage = copies.find((copy) => copy.damage !== null)?.damage ?? lost;
  if (found.damage !== null) throw damage ?? found.damage;
  return { body: found.body, damage };
}

function openCopy(bytes: Buffer, format: string, file: string): SealedTwice {
  try {
    return { body: openSealedJson(bytes.toString(), format, file), damage: null };
  } catch (error) {
    if (error instanceof HomewardError) return { body: null, damage: error };
    throw error;
  }
}

/** The body inside the text of a sealed file; `file` is for messages. */
export function openSealedJson(text: string, format: string, file: string): unknown {
  const sealed = parseObject(text, file);
  if (sealed['format'] !== format) {
    const found = JSON.stringify(sealed['format'] ?? 'file without a format');
    throw damaged(file, `is a ${found}, not a "${format}"`);
  }
  if (sealed['version'] !== sealedVersion) {
    const found = JSON.stringify(sealed['version']);
    throw damaged(file, `has version ${found}; this program reads ${sealedVersion}`);
  }
  const body: unknown = sealed['body'];
  if (body === undefined || sealed['crc'] !== checksum(format, JSON.stringify(body))) {
    throw damaged(file, 'does not have the content it was written with');
  }
  return body;
}

function writeSynced(file: string, bytes: Uint8Array, mode: number): void {
  // One that a crash left may have another mode, and a link in its place would lead elsewhere.
  fs.rmSync(file, { force: true });
  const fd = fs.openSync(file, 'wx', mode);
  try {
    writeFullySync(fd, [bytes], 0);
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

function tryRead(file: string): Buffer | null {
  try {
    return fs.readFileSync(file);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw error;
  }
}

function seal(format: string, body: unknown): string {
  const sealed = { format, version: sealedVersion, crc: checksum(format, JSON.stringify(body)), body };
  return JSON.stringify(sealed, null, 2) + '\n';
}

function parseObject(text: string, file: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch (error) {
    throw damaged(file, 'is not JSON', error);
  }
  throw damaged(file, 'is not a JSON object');
}

/** Over the body as JSON.stringify writes it, so that white space added by an editor does no harm. */
function checksum(format: string, body: string): string {
  return crc32(`${format}\n${body}`).toString(16).padStart(8, '0');
}

function damaged(file: string, what: string, cause?: unknown): HomewardError {
  const hint = 'Put back the file from a copy, or move it away if nothing it describes is needed.';
  return new HomewardError('damaged', `${file} ${what}`, { hint, cause });
}
