// Looks at a block device before anything writes to it: what it is called, how large it is, what is on it.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { basename, join } from 'node:path';
import { HomewardError } from '../../core/errors.ts';
import { deviceSize } from '../../core/linux.ts';
import { byIdDirectory, readDiskIdentity, type DeviceFiles } from './disk-identity.ts';
import { targetName } from './target-name.ts';

/** What `inspectDevice` finds. Nothing is written to find it. */
export interface DeviceFindings {
  /** The device node itself, links resolved. */
  path: string;
  /** Bytes. */
  size: number;
  /** The identity that --overwrite-disk asks for: WWID, else serial, else the name it was given by. */
  wwid: string;
  /** Where it, or a partition of it, is mounted, or who else holds it; null when free. */
  inUse: string | null;
  /** The foreign signature on it (`ext4`, `LVM2_member`, `gpt` …), or null when blank. */
  signature: string | null;
}

/** The files of this host. */
export const deviceFiles: DeviceFiles = {
  read: tryRead,
  readBytes: (path, offset, length) => tryBytes(path)?.subarray(offset, offset + length) ?? null,
  list: tryList,
  realPath,
};

/** How a device is remembered, see `targetName`. */
export const storedTargetName = (given: string): string => targetName(deviceFiles, given);

/** The path of a by-id name; a name with `/` is taken as a path. */
export function devicePath(name: string): string {
  return name.includes('/') ? name : join(byIdDirectory, name);
}

/** Throws 'target-missing' when there is no such block device. */
export function inspectDevice(name: string): DeviceFindings {
  const given = devicePath(name);
  const path = realPath(given);
  if (path === null || !fs.statSync(path).isBlockDevice()) {
    throw new HomewardError('target-missing', `${given} is not a block device`);
  }
  const fd = fs.openSync(path, 'r');
  try {
    return {
      path,
      size: deviceSize(fd),
      wwid: wwidOf(path) ?? basename(given),
      inUse: usedBy(path),
      signature: signatureOn(path),
    };
  } finally {
    fs.closeSync(fd);
  }
}

/**
 * Refuses a device that is too small, in use, or carries something else, unless its WWID is among
 * `overwrite`.
 */
export function refuseUnsafeTarget(
  found: DeviceFindings,
  wantedBytes: number,
  overwrite: readonly string[],
): void {
  const { path, size, wwid, inUse, signature } = found;
  if (size < wantedBytes)
    throw new HomewardError('target-too-small', `${path} has ${size} bytes; ${wantedBytes} are needed`);
  if (inUse !== null) throw new HomewardError('target-mounted', `${path} is in use: ${inUse}`);
  if (signature !== null && !overwrite.includes(wwid)) {
    throw new HomewardError('target-signature', `${path} carries ${signature}; its WWID is ${wwid}`);
  }
}

function realPath(path: string): string | null {
  try {
    return fs.realpathSync(path);
  } catch {
    return null; // no such thing: the caller says so
  }
}

function wwidOf(path: string): string | null {
  const { wwid, serial } = readDiskIdentity(deviceFiles, basename(path));
  return wwid ?? serial;
}

function usedBy(path: string): string | null {
  const name = basename(path);
  const parts = fs.existsSync(`/sys/class/block/${name}`) ? fs.readdirSync(`/sys/class/block/${name}`) : [];
  const nodes = [name, ...parts.filter((part) => part.startsWith(name))];
  const numbers = new Map(nodes.map((node) => [tryRead(`/sys/class/block/${node}/dev`)?.trim() ?? '', node]));
  for (const line of (tryRead('/proc/self/mountinfo') ?? '').split('\n')) {
    const [, , device, , mountPoint] = line.split(' ');
    if (device !== undefined && numbers.has(device))
      return `${numbers.get(device)} is mounted on ${mountPoint}`;
  }
  for (const line of (tryRead('/proc/swaps') ?? '').split('\n').slice(1)) {
    if (nodes.some((node) => line.startsWith(`/dev/${node} `))) return `${name} is swap space`;
  }
  for (const node of nodes) {
    const holders = fs.existsSync(`/sys/class/block/${node}/holders`)
      ? fs.readdirSync(`/sys/class/block/${node}/holders`)
      : [];
    if (holders.length > 0) return `${node} is held by ${holders.join(', ')}`;
  }
  return null;
}

/** `blkid` knows every signature there is; its exit status 2 means that there is none. */
function signatureOn(path: string): string | null {
  try {
    const options = { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C.UTF-8' } } as const;
    const lines = execFileSync('blkid', ['-p', '-o', 'export', path], {
      ...options,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    return /^(?:TYPE|PTTYPE)=(.+)$/m.exec(lines)?.[1] ?? 'something that blkid knows';
  } catch (error) {
    const status: unknown = error instanceof Error && 'status' in error ? error.status : null;
    if (status === 2) return null;
    throw new HomewardError('tool-failed', `blkid could not look at ${path}`, { cause: error });
  }
}

function tryBytes(file: string): Uint8Array | null {
  try {
    return fs.readFileSync(file);
  } catch {
    return null; // as below
  }
}

function tryList(directory: string): string[] | null {
  try {
    return fs.readdirSync(directory).sort();
  } catch {
    return null; // as below
  }
}

function tryRead(file: string): string | null {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch {
    return null; // not every device has every file
  }
}
