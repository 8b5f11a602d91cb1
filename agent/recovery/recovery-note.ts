// The note beside a recovery that is not done: of what it is, and which stretches are durable, so that the
// same command goes on there. Lines of JSON, each behind its CRC-32; a torn end does not count.
import fs from 'node:fs';
import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';
import { syncDirectorySync } from '../../core/atomic-file.ts';
import { lentFileStore } from '../../core/block/file-store.ts';
import { errnoOf, HomewardError } from '../../core/errors.ts';
import { writeFully, writeFullySync } from '../../core/full-io.ts';
import { tryLock } from '../../core/linux.ts';
import type { ByteRange } from './formats/disk-source.ts';
import type { StretchDone } from './formats/stretch.ts';

export const noteSuffix = '.homeward-partial';
const noteVersion = 'recovery 1';
const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW, O_APPEND } = fs.constants;
const fileMode = 0o640;

/** What a recovery is of; one that differs in anything is another. */
export interface NoteIdentity {
  /** The machine's id. */
  machine: string;
  lsn: number;
  disk: string;
  size: number;
  format: string;
}

export interface NoteContent {
  identity: NoteIdentity;
  /** The name, in the note's directory, of the file that is written; of a device, none. */
  file: string | null;
  /** The inode of that file, once it was made: a copy of it is not trusted. */
  inode: string | null;
  /** By stretch, where the format put it. */
  done: Map<number, number[]>;
  damaged: ByteRange[];
  /** Bytes of the note that count. */
  end: number;
}

type NoteLine =
  | { homeward: typeof noteVersion; identity: NoteIdentity; file: string | null }
  | { inode: string }
  | { done: (readonly number[])[]; damaged: ByteRange[] };

/** Null when this is not a note of ours. An empty file is what a crash right behind its making leaves. */
export function parseNote(bytes: Buffer): NoteContent | 'empty' | null {
  if (bytes.length === 0) return 'empty';
  let content: NoteContent | null = null;
  for (let at = 0; at < bytes.length;) {
    const newline = bytes.indexOf('\n', at);
    const line = newline < 0 ? null : parseLine(bytes.toString('utf8', at, newline));
    if (line === null) break;
    if ('homeward' in line) {
      if (line.homeward !== noteVersion || content !== null) break;
      const { identity, file } = line;
      content = { identity, file, inode: null, done: new Map(), damaged: [], end: 0 };
    } else if (content === null) break;
    else if ('inode' in line) content.inode = line.inode;
    else {
      for (const [index = 0, ...parts] of line.done) content.done.set(index, parts);
      content.damaged.push(...line.damaged);
    }
    at = newline + 1;
    content.end = at;
  }
  return content;
}

export function formatNoteLine(line: NoteLine): string {
  const text = JSON.stringify(line);
  return `${crc32(text).toString(16).padStart(8, '0')} ${text}\n`;
}

/** Its checksum says that we wrote it, so its shape is known. */
function parseLine(text: string): NoteLine | null {
  const [, crc, json = ''] = /^([0-9a-f]{8}) (\{.*\})$/s.exec(text) ?? [];
  if (crc === undefined || Number.parseInt(crc, 16) !== crc32(json)) return null;
  return JSON.parse(json) as NoteLine;
}

export const isSameRecovery = (one: NoteIdentity, other: NoteIdentity): boolean =>
  one.machine === other.machine &&
  one.lsn === other.lsn &&
  one.disk === other.disk &&
  one.size === other.size &&
  one.format === other.format;

/** What lies at `path`: null when nothing does. Throws 'exists' when it is not a note of ours. */
export function readNote(path: string): NoteContent | 'empty' | null {
  let bytes: Buffer;
  try {
    if (!fs.lstatSync(path).isFile()) throw notOurs(path);
    bytes = fs.readFileSync(path);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return null;
    throw error;
  }
  const content = parseNote(bytes);
  if (content === null) throw notOurs(path);
  return content;
}

function notOurs(path: string): HomewardError {
  return new HomewardError('exists', `${path} exists, and is no note of a recovery`, {
    hint: 'Move it away, or choose another directory: what exists is never overwritten.',
  });
}

/** An open note, which nobody else has: of two processes with one target, one goes on. */
export class RecoveryNote {
  readonly path: string;
  /** How many stretches it names. */
  stretches = 0;
  readonly #fd: number;

  private constructor(path: string, fd: number) {
    this.path = path;
    this.#fd = fd;
  }

  static create(path: string, identity: NoteIdentity, file: string | null): RecoveryNote {
    const note = RecoveryNote.#open(path, O_CREAT | O_EXCL);
    note.#append({ homeward: noteVersion, identity, file });
    syncDirectorySync(dirname(path));
    return note;
  }

  /** One that is there; what it says is read under its lock. */
  static reopen(path: string): { note: RecoveryNote; content: NoteContent | 'empty' } {
    const note = RecoveryNote.#open(path, 0);
    const content = parseNote(fs.readFileSync(path));
    if (content !== null) {
      // What is appended must not follow a torn line.
      fs.ftruncateSync(note.#fd, content === 'empty' ? 0 : content.end);
      note.stretches = content === 'empty' ? 0 : content.done.size;
      return { note, content };
    }
    note.close();
    throw notOurs(path);
  }

  static #open(path: string, flags: number): RecoveryNote {
    const fd = fs.openSync(path, O_RDWR | O_APPEND | O_NOFOLLOW | flags, fileMode);
    if (tryLock(fd)) return new RecoveryNote(path, fd);
    fs.closeSync(fd);
    throw new HomewardError('conflict', `${path} is in use: its target is being recovered to already`, {
      hint: 'Wait until the other recovery has ended, or choose another target.',
    });
  }

  opened(inode: string): void {
    this.#append({ inode });
  }

  /** Durable when it resolves. What it names must have been durable before. */
  async add(stretches: readonly StretchDone[]): Promise<void> {
    const line = formatNoteLine({
      done: stretches.map(({ index, parts }) => [index, ...parts]),
      damaged: stretches.flatMap(({ damaged }) => damaged),
    });
    // It is open for appending: the position does not count.
    await writeFully(this.#fd, Buffer.from(line), 0);
    await lentFileStore(this.#fd).flush();
    this.stretches += stretches.length;
  }

  #append(line: NoteLine): void {
    writeFullySync(this.#fd, [Buffer.from(formatNoteLine(line))], 0);
    fs.fdatasyncSync(this.#fd);
  }

  remove(): void {
    fs.rmSync(this.path, { force: true });
  }

  close(): void {
    fs.closeSync(this.#fd);
  }
}
