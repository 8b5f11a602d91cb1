// Takes up the scanned disks of a machine at the start of its service: their sizes and hash files.
import fs from 'node:fs';
import path from 'node:path';
import { syncDirectorySync } from '../../core/atomic-file.ts';
import type { Clock } from '../../core/clock.ts';
import { ensureDirectorySync } from '../../core/directory.ts';
import { HomewardError, toHomewardError } from '../../core/errors.ts';
import type { Files } from '../../core/files/files.ts';
import { limits } from '../../core/limits.ts';
import type { Log } from '../../core/log.ts';
import { HashFile } from './hash-file.ts';
import { ScanCommands } from './scan-commands.ts';
import { openScanned, ScanDisk, type ScanPath } from './scan-disk.ts';
import { Scans, type ScansOptions } from './scans.ts';

/** What the operator says of scans. */
export interface ScanOrder {
  disks: readonly ScanPath[];
  /** From the beginning of one to that of the next. */
  everyMs: number;
  /** Commands for a shell, or null. */
  before: string | null;
  after: string | null;
}

const directoryOf = (data: string): string => path.join(data, 'scan');

/** Throws 'usage' for what an operator cannot mean. */
export function checkOrder({ everyMs }: ScanOrder): void {
  if (everyMs >= limits.scanEveryLeastMs) return;
  throw new HomewardError('usage', `--every is less than ${limits.scanEveryLeastMs / 1000} s`);
}

export function openCommands(data: string, { before, after }: ScanOrder, log: Log): ScanCommands {
  const directory = directoryOf(data);
  ensureDirectorySync(directory);
  return new ScanCommands({ before, after, directory, log });
}

/**
 * The sizes of disks: those known, else as they are now, for which the commands are run when a disk is
 * not there without them. One that is smaller than it was keeps its size: the scan says so.
 */
export async function measureDisks(
  disks: readonly ScanPath[],
  known: readonly { name: string; size: number }[],
  commands: ScanCommands,
): Promise<{ name: string; size: number }[]> {
  const knownSize = (name: string): number | undefined => known.find((disk) => disk.name === name)?.size;
  if (disks.every(({ name }) => knownSize(name) !== undefined)) return measure(disks, knownSize);
  try {
    return await measure(disks, knownSize);
  } catch (error) {
    const problem = toHomewardError(error);
    if (problem.code !== 'no-such-file' || !commands.given) throw problem;
  }
  try {
    await commands.begin();
    return await measure(disks, knownSize);
  } finally {
    await commands.end();
  }
}

async function measure(
  disks: readonly ScanPath[],
  knownSize: (name: string) => number | undefined,
): Promise<{ name: string; size: number }[]> {
  const sizes: { name: string; size: number }[] = [];
  for (const { name, path: file } of disks) {
    const size = knownSize(name);
    if (size !== undefined) sizes.push({ name, size });
    else {
      const store = openScanned(name, file);
      sizes.push({ name, size: store.size });
      await store.close();
    }
  }
  return sizes;
}

/**
 * A disk may be served where it was scanned before, or the other way round: what is remembered of the
 * other way is not true any more.
 */
export function forgetOtherWays(data: string, served: readonly string[], scanned: readonly string[]): void {
  const stale = [
    ...served.map((name) => path.join(directoryOf(data), `${name}.hashes`)),
    ...scanned.map((name) => path.join(data, 'dirty', `${name}.map`)),
  ].filter((file) => fs.existsSync(file));
  for (const file of stale) {
    fs.rmSync(file);
    syncDirectorySync(path.dirname(file));
  }
}

export interface OpenScansOptions extends Omit<ScansOptions, 'disks'> {
  data: string;
  /** UUID of the machine, 16 bytes. */
  machine: Buffer;
  disks: readonly (ScanPath & { index: number; size: number })[];
  files: Files;
  clock: Clock;
}

export async function openScans({
  data,
  machine,
  disks,
  files,
  ...options
}: OpenScansOptions): Promise<Scans> {
  const { log } = options;
  const open: ScanDisk[] = [];
  try {
    for (const disk of disks) {
      const file = path.join(directoryOf(data), `${disk.name}.hashes`);
      const identity = { machine, disk: disk.name };
      const hashes = await HashFile.open({ path: file, identity, size: disk.size, files, log });
      open.push(new ScanDisk({ ...disk, hashes }));
    }
  } catch (error) {
    for (const { hashes } of open) hashes.close();
    throw error;
  }
  return new Scans({ ...options, disks: open });
}
