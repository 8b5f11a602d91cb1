// What tests of a whole chain ask of it: whether both ends are equal, which syncs there were, what a spool
// holds.
import fs from 'node:fs';
import path from 'node:path';
import type { Test } from 'tap';
import { NbdErrno } from '../../core/nbd/export.ts';
import { Command } from '../../core/nbd/protocol.ts';
import {
  decodeRecordHeader,
  findRecordMagic,
  machineMark,
  type RecordHeader,
} from '../../core/record/record.ts';
import { KiB, MiB } from '../../core/units.ts';
import type { ChainSite, Source } from './chain-site.ts';
import { until } from './homeward.ts';
import { NbdClient } from './nbd-client.ts';
import { temporaryDirectory } from './temporary.ts';

/** A file of settings, for `--config`. */
export function settingsFile(t: Test, settings: Record<string, string>): string {
  const file = path.join(temporaryDirectory(t), 'drscout.conf');
  const lines = Object.entries(settings).map(([key, value]) => `${key} = ${value}\n`);
  fs.writeFileSync(file, `[homeward]\n${lines.join('')}`);
  return file;
}

let tags = 0;

/**
 * The master target has everything that was written before the call: a tag, which no source takes while a
 * sync is due, has got there. Gives back its LSN.
 */
export async function caughtUp(site: ChainSite, name: string, timeoutMs = 60_000): Promise<number> {
  let lsn = 0;
  let last: unknown = null;
  const listed = async (): Promise<boolean> => {
    try {
      if (lsn === 0) {
        tags += 1;
        ({ lsn } = await site.server.control.tag(name, `caught-up-${tags}`));
      }
      const { tags: known } = await site.target.points(name);
      if (known.some((tag) => tag.lsn === lsn)) return true;
      last = `the tag ${lsn} is not there`;
      // A sync that began behind it has made up for it as well.
      const machine = (await site.target.status()).machines.find((each) => each.name === name);
      if ((machine?.durableLsn ?? 0) > lsn) lsn = 0;
    } catch (error) {
      last = error;
    }
    return false;
  };
  await until(`${name} to catch up`, listed, timeoutMs).catch(async (error: unknown) => {
    throw new Error(`${String(error)}: ${String(last)}: ${JSON.stringify(await site.status(name))}`);
  });
  return lsn;
}

/** The newest state at the master target is byte for byte what the source's files hold. */
export async function sameAtBothEnds(t: Test, site: ChainSite, source: Source): Promise<void> {
  const lsn = await caughtUp(site, source.name);
  for (const [disk, file] of source.files) {
    const { image, unreadable } = await readPoint(site, source.name, `lsn:${lsn}`, disk);
    t.same(unreadable, [], `${disk} can be read`);
    t.same(differences(image, fs.readFileSync(file)), [], `${disk} is the same at both ends`);
  }
}

/** Sectors of 4 KiB in which two images differ; the first ten. */
export function differences(one: Buffer, other: Buffer): number[] {
  if (one.length !== other.length) return [-1, one.length, other.length];
  const found: number[] = [];
  for (let at = 0; at < one.length && found.length < 10; at += 4 * KiB)
    if (!one.subarray(at, at + 4 * KiB).equals(other.subarray(at, at + 4 * KiB))) found.push(at);
  return found;
}

export interface ReadPoint {
  lsn: number;
  image: Buffer;
  /** Offsets of the sectors of 4 KiB that cannot be read; zeros in `image`. */
  unreadable: number[];
}

/** A disk at a moment, by a view that is closed again. */
export async function readPoint(
  site: ChainSite,
  name: string,
  when: string,
  disk: string,
): Promise<ReadPoint> {
  const view = await site.view(name, when);
  try {
    const size = (await site.target.status()).machines
      .find((machine) => machine.name === name)
      ?.disks.find((each) => each.name === disk)?.size;
    return { lsn: view.lsn, ...(await readTolerant(view.socket, disk, size ?? 0)) };
  } finally {
    await site.target.closeViews({ id: view.id });
  }
}

async function readTolerant(
  socket: string,
  disk: string,
  most: number,
): Promise<{ image: Buffer; unreadable: number[] }> {
  const client = await NbdClient.open({ path: socket }, disk, { structured: false });
  const pieces: Buffer[] = [];
  const unreadable: number[] = [];
  const read = async (at: number, length: number): Promise<Buffer> => {
    const { errno, data } = await client.ask(Command.read, at, length);
    if (errno === NbdErrno.ok && data !== null) return data;
    if (length > 4 * KiB) {
      const half = length / 2;
      return Buffer.concat([await read(at, half), await read(at + half, half)]);
    }
    unreadable.push(at);
    return Buffer.alloc(length);
  };
  for (let at = 0; at < most; at += 2 * MiB) pieces.push(await read(at, Math.min(2 * MiB, most - at)));
  client.socket.destroy();
  return { image: Buffer.concat(pieces), unreadable };
}

/** A sync as the source's log tells of it. */
export interface ToldSync {
  reason: string;
  lsn: number;
  /** Of the dirty map, when it began. */
  bytes: number;
  /** Data in its records; null while it goes on. */
  dataBytes: number | null;
}

/** The syncs of a source that have begun, over all its starts. */
export function syncsOf({ process: { log } }: Source): ToldSync[] {
  const syncs: ToldSync[] = [];
  for (const line of log.split('\n')) {
    const number = (key: string): number => Number(new RegExp(` ${key}=(\\d+)`).exec(line)?.[1] ?? NaN);
    const event = / event=(\S+)/.exec(line)?.[1];
    const [, quoted, bare] = / reason=(?:"([^"]*)"|(\S+))/.exec(line) ?? [];
    const reason = quoted ?? bare ?? '';
    if (event === 'sync-begun')
      syncs.push({ reason, lsn: number('lsn'), bytes: number('bytes'), dataBytes: null });
    const last = syncs.at(-1);
    if (event === 'sync-ended' && last !== undefined) last.dataBytes = number('dataBytes');
  }
  return syncs;
}

/** Resolves when no region of the source's disks may differ from what the master target has. */
export async function nothingDirty(site: ChainSite, name: string): Promise<void> {
  await until(
    `the dirty map of ${name} to be empty`,
    async () => (await site.status(name))?.source?.dirtyBytes === 0,
  );
}

export interface SpoolPlace {
  file: string;
  /** Of the record's header in the file. */
  position: number;
  header: RecordHeader;
}

/** The directory of a machine's spool. */
export async function spoolOf(site: ChainSite, name: string): Promise<string> {
  return site.at('ps', 'spool', (await site.status(name))?.id ?? '');
}

/** Segments of a log, oldest first. */
export function segmentsIn(directory: string): string[] {
  return fs
    .readdirSync(directory)
    .filter((name) => name.endsWith('.seg'))
    .toSorted()
    .map((name) => path.join(directory, name));
}

/** Every sound record in the segments of a machine's log; `machine` is its UUID. */
export function recordsIn(directory: string, machine = path.basename(directory)): SpoolPlace[] {
  const mark = machineMark(Buffer.from(machine.replaceAll('-', ''), 'hex'));
  return segmentsIn(directory).flatMap((file) => {
    const content = fs.readFileSync(file);
    const found: SpoolPlace[] = [];
    for (let at = findRecordMagic(content, 0); at >= 0; at = findRecordMagic(content, at + 1)) {
      const header = decodeRecordHeader(content, at, mark);
      if (header !== null) found.push({ file, position: at, header });
    }
    return found;
  });
}

/** Turns over all bits of one byte. */
export function damage(file: string, at: number): void {
  const fd = fs.openSync(file, 'r+');
  const byte = Buffer.alloc(1);
  fs.readSync(fd, byte, 0, 1, at);
  fs.writeSync(fd, Buffer.from([byte[0]! ^ 0xff]), 0, 1, at);
  fs.closeSync(fd);
}
