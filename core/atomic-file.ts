// Small files that are replaced as a whole: after a crash the old or the new content is there, never a mix;
// sealed ones carry their format, version and a CRC-32, so that a flipped byte is found when they are read.
import fs from 'node:fs';
import path from 'node:path';
import { crc32 } from 'node:zlib';
import { HomewardError, errnoOf } from './errors.ts';
import { writeFullySync } from './full-io.ts';

const temporarySuffix = '.new';
const sealedVersion = 1;

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
  const text = JSON.stringify(body);
  const sealed = { format, version: sealedVersion, crc: checksum(format, text), body };
  writeAtomicFile(file, JSON.stringify(sealed, null, 2) + '\n');
}

/**
 * The body of a sealed file, or null when there is no such file. Anything but what was written is 'damaged'.
 */
export function readSealedJson(file: string, format: string): unknown {
  const text = tryReadText(file);
  return text === null ? null : openSealedJson(text, format, file);
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

function tryReadText(file: string): string | null {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw error;
  }
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
