// All that a check sees of the host, be it the real one or a recorded one: files, programs, network.
import { execFile } from 'node:child_process';
import { lookup } from 'node:dns/promises';
import fs from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { errnoOf } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';

export interface CommandResult {
  /** Exit status; -1 when a signal ended it. */
  status: number;
  stdout: string;
  stderr: string;
}

export type FileKind = 'file' | 'directory' | 'link' | 'block' | 'character' | 'other';

export interface FileFacts {
  kind: FileKind;
  /** Bytes; 0 for a device, whose size /sys knows. */
  size: number;
  /** Permission bits. */
  mode: number;
  uid: number;
  gid: number;
  /** `major:minor` of what the file lies on. */
  device: string;
  /** `major:minor` of the device that it is, or null. */
  node: string | null;
  modifiedMs: number;
}

/** Bytes. */
export interface FileSystemSpace {
  total: number;
  /** For programs without privileges; what root may use is not counted on. */
  free: number;
}

/**
 * Nothing of it throws: what is not there, or may not be read, is null, as it is for whoever looks. A path is
 * absolute.
 */
export interface Host {
  /** The text of a small file, whole. */
  read(path: string): string | null;
  /** What is there of `length` bytes from `offset`, of a file or a device; may be shorter at the end. */
  readBytes(path: string, offset: number, length: number): Uint8Array | null;
  /** The names in a directory, sorted. */
  list(path: string): string[] | null;
  /** Where a link points, as it was written. */
  link(path: string): string | null;
  /** All links followed. */
  realPath(path: string): string | null;
  /** Of what a link points to. */
  stat(path: string): FileFacts | null;
  statfs(path: string): FileSystemSpace | null;
  /** A program of the host under LC_ALL=C.UTF-8, found by PATH; null when there is no such program. */
  run(program: string, args: readonly string[], options?: RunOptions): Promise<CommandResult | null>;
  /** Writes a file into the directory, syncs it, reads it back, removes it; what went wrong, or null. */
  tryWrite(directory: string): Promise<string | null>;
  /** The addresses of a name, or null. */
  resolve(name: string): Promise<string[] | null>;
  /** Whether a TCP port answers: null, or why not (`ECONNREFUSED`, `ETIMEDOUT` …). */
  tryConnect(host: string, port: number): Promise<string | null>;
  /** Milliseconds since 1970. */
  now(): number;
  /** As Node names it: `x64`, `arm64` … */
  architecture: string;
  /** Of whoever runs the checks; 0 is root. */
  uid: number;
}

export interface RunOptions {
  /** `limits.checkCommandMs` when left out. */
  timeoutMs?: number;
  /** Added to the environment. */
  environment?: Record<string, string>;
}

export function liveHost(): Host {
  return {
    read: (path) => attempt(() => fs.readFileSync(path, 'utf8')),
    readBytes: (path, offset, length) => attempt(() => readAt(path, offset, length)),
    list: (path) => attempt(() => fs.readdirSync(path).sort()),
    link: (path) => attempt(() => fs.readlinkSync(path)),
    realPath: (path) => attempt(() => fs.realpathSync(path)),
    stat: (path) => attempt(() => factsOf(fs.statSync(path))),
    statfs: (path) => attempt(() => spaceOf(fs.statfsSync(path))),
    run: runProgram,
    tryWrite: tryWriteInto,
    resolve: async (name) => {
      try {
        return (await lookup(name, { all: true })).map(({ address }) => address);
      } catch {
        return null; // which of the many reasons makes no difference to the name
      }
    },
    tryConnect: connectTo,
    now: () => Date.now(),
    architecture: process.arch,
    uid: process.getuid?.() ?? -1,
  };
}

/** What a host does not have, or does not let us see, is no error: the check says what it means. */
function attempt<T>(look: () => T): T | null {
  try {
    return look();
  } catch {
    return null;
  }
}

function readAt(path: string, offset: number, length: number): Uint8Array {
  // A device that has no medium, or a pipe, must not hold the checks up.
  const fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  try {
    const bytes = new Uint8Array(length);
    let filled = 0;
    while (filled < length) {
      const count = fs.readSync(fd, bytes, filled, length - filled, offset + filled);
      if (count === 0) break;
      filled += count;
    }
    return bytes.subarray(0, filled);
  } finally {
    fs.closeSync(fd);
  }
}

function factsOf(stat: fs.Stats): FileFacts {
  const isDevice = stat.isBlockDevice() || stat.isCharacterDevice();
  return {
    kind: kindOf(stat),
    size: isDevice ? 0 : stat.size,
    mode: stat.mode & 0o7777,
    uid: stat.uid,
    gid: stat.gid,
    device: deviceNumber(stat.dev),
    node: isDevice ? deviceNumber(stat.rdev) : null,
    modifiedMs: stat.mtimeMs,
  };
}

function kindOf(stat: fs.Stats): FileKind {
  if (stat.isFile()) return 'file';
  if (stat.isDirectory()) return 'directory';
  if (stat.isBlockDevice()) return 'block';
  if (stat.isCharacterDevice()) return 'character';
  return stat.isSymbolicLink() ? 'link' : 'other';
}

/** As glibc's gnu_dev_major and gnu_dev_minor take it apart. */
function deviceNumber(device: number): string {
  const number = BigInt(device);
  const major = ((number >> 8n) & 0xfffn) | ((number >> 32n) & ~0xfffn);
  const minor = (number & 0xffn) | ((number >> 12n) & ~0xffn & 0xffffffffn);
  return `${major}:${minor}`;
}

function spaceOf({ bsize, blocks, bavail }: fs.StatsFs): FileSystemSpace {
  return { total: blocks * bsize, free: bavail * bsize };
}

function runProgram(
  program: string,
  args: readonly string[],
  { timeoutMs = limits.checkCommandMs, environment = {} }: RunOptions = {},
): Promise<CommandResult | null> {
  // An administrator's PATH may lack the directories where half of these programs lie.
  const path = `${process.env['PATH'] ?? ''}:/usr/sbin:/usr/bin:/sbin:/bin`;
  const options = {
    env: { ...process.env, ...environment, PATH: path, LC_ALL: 'C.UTF-8' },
    encoding: 'utf8' as const,
    timeout: timeoutMs,
    killSignal: 'SIGKILL' as const,
    maxBuffer: limits.checkOutputBytes,
  };
  return new Promise((resolve) => {
    const child = execFile(program, [...args], options, (error, stdout, stderr) => {
      if (error === null) return resolve({ status: 0, stdout, stderr });
      if (error.code === 'ENOENT') return resolve(null);
      const status = typeof error.code === 'number' ? error.code : -1;
      resolve({ status, stdout, stderr: stderr === '' ? error.message : stderr });
    });
    child.stdin?.end();
  });
}

const probe = 'homeward write check\n'.repeat(200);

/** Not on this thread: a disk that hangs must not keep the check's own time limit from ending it. */
async function tryWriteInto(directory: string): Promise<string | null> {
  const file = join(directory, `.homeward-check-${process.pid}`);
  try {
    const handle = await fs.promises.open(file, 'wx+', 0o600);
    try {
      await handle.writeFile(probe);
      await handle.sync();
      const back = Buffer.alloc(probe.length);
      await handle.read(back, 0, back.length, 0);
      return back.toString() === probe ? null : 'what was written reads back as something else';
    } finally {
      await handle.close();
      await fs.promises.unlink(file);
    }
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function connectTo(host: string, port: number): Promise<string | null> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: limits.checkConnectMs });
    const end = (why: string | null): void => {
      socket.destroy();
      resolve(why);
    };
    socket.once('connect', () => end(null));
    socket.once('timeout', () => end('ETIMEDOUT'));
    socket.once('error', (error) => end(errnoOf(error) ?? error.message));
  });
}
