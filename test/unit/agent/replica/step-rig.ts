// Lays redo and replicas out for tests of steps, and knows what every byte should be.
import { crc32 } from 'node:zlib';
import { SumsReader, openSums } from '../../../../agent/replica/replica-sums.ts';
import type {
  LentDisk,
  LentRedo,
  RollBackJob,
  SaveUndoJob,
  WriteReplicaJob,
} from '../../../../agent/replica/undo/undo-step.ts';
import { machineAddress, wholeMachine } from '../../../../core/extents/address.ts';
import type { Files } from '../../../../core/files/files.ts';
import { checkPayload } from '../../../../core/record/payload.ts';
import {
  encodeRecordHeader,
  machineMark,
  recordHeaderBytes,
  RecordKind,
} from '../../../../core/record/record.ts';
import { encodeGroupHeader, groupHeaderBytes } from '../../../../core/segment-log/group.ts';
import type { Random } from '../../../support/random.ts';

export const machine = Buffer.from('6f1d2c3b4a59487786a5b4c3d2e1f001', 'hex');

/** `length` 0 of `unknown` is about everything. */
export type Change =
  | { kind: 'write'; disk: number; offset: number; data: Buffer }
  | { kind: 'zero' | 'unknown'; disk: number; offset: number; length: number }
  | { kind: 'tag' };

/** One disk of the model: what its bytes are, and which nobody knows. */
interface ModelDisk {
  bytes: Buffer;
  unknown: Buffer;
}
export type Model = ModelDisk[];

export const blankModel = (sizes: readonly number[]): Model =>
  sizes.map((size) => ({ bytes: Buffer.alloc(size), unknown: Buffer.alloc(size) }));

export function changed(model: Model, changes: readonly Change[]): Model {
  const next = model.map(({ bytes, unknown }) => ({
    bytes: Buffer.from(bytes),
    unknown: Buffer.from(unknown),
  }));
  for (const change of changes) {
    if (change.kind === 'tag') continue;
    if (change.kind === 'unknown' && change.length === 0) for (const disk of next) disk.unknown.fill(1);
    const disk = next[change.disk];
    if (disk === undefined) continue;
    const { offset } = change;
    const length = change.kind === 'write' ? change.data.length : change.length;
    const end = Math.min(offset + length, disk.bytes.length);
    disk.unknown.fill(change.kind === 'unknown' ? 1 : 0, offset, end);
    if (change.kind === 'write') change.data.copy(disk.bytes, offset);
    else if (change.kind === 'zero') disk.bytes.fill(0, offset, end);
  }
  return next;
}

/** Changes of all kinds in units of 512 bytes, small and large, aligned to blocks half of the time. */
export function randomChanges(random: Random, sizes: readonly number[], count: number): Change[] {
  return Array.from({ length: count }, () => {
    const disk = random.below(sizes.length);
    const size = sizes[disk]!;
    const unit = random.chance(0.5) ? 4096 : 512;
    const most = random.chance(0.1) ? 200_000 : 20_000;
    const offset = random.below(Math.floor(size / unit)) * unit;
    const length = Math.min(Math.ceil((1 + random.below(most)) / unit) * unit, size - offset);
    const kind = random.below(20);
    if (kind === 0) return { kind: 'tag' };
    if (kind === 1) return { kind: 'unknown', disk, offset, length };
    if (kind < 6) return { kind: 'zero', disk, offset, length };
    return { kind: 'write', disk, offset, data: fastBytes(random, length) };
  });
}

/** Bytes that differ from sector to sector, quickly made. */
export function fastBytes(random: Random, length: number): Buffer {
  const data = Buffer.alloc(length);
  for (let at = 0; at < length; at += 4) data.writeInt32LE(Math.imul(random.below(2 ** 31), 2654435761), at);
  return data;
}

/** Writes one segment of redo, in groups of `perGroup`, each on a block of its own as after a sync. */
export function layRedo(
  files: Files,
  path: string,
  firstLsn: number,
  changes: readonly Change[],
  perGroup = 3,
): LentRedo {
  const fd = files.create(path);
  const identity = Buffer.alloc(16, firstLsn);
  let position = 0;
  let end = 0;
  for (let at = 0; at < changes.length; at += perGroup) {
    const group = changes.slice(at, at + perGroup);
    const records = group.map((change, index) => encodeChange(change, firstLsn + at + index));
    const body = Buffer.concat(records.flat());
    const frame = Buffer.alloc(groupHeaderBytes);
    encodeGroupHeader(frame, {
      machine,
      identity,
      firstLsn: firstLsn + at,
      previousDurable: firstLsn + at - 1,
      arrival: 1,
      position,
      records: group.length,
      bodyBytes: body.length,
      headersCrc: records.reduce((crc, [header]) => crc32(header!, crc), 0),
      skippedFrom: 0,
    });
    files.write(fd, [frame, body], position);
    end = position + groupHeaderBytes + body.length;
    position = Math.ceil(end / 4096) * 4096;
  }
  return {
    ...{ ordinal: 0, fd, path, firstLsn, precededBy: firstLsn - 1 },
    ...{ lastLsn: firstLsn + changes.length - 1, end },
  };
}

function encodeChange(change: Change, lsn: number): Buffer[] {
  const data = change.kind === 'write' ? change.data : change.kind === 'tag' ? Buffer.from('{}') : null;
  const { table, crc } = data === null ? { table: null, crc: 0 } : checkPayload(data);
  const header = Buffer.alloc(recordHeaderBytes);
  const parts = [header, ...(table === null ? [] : [table]), ...(data === null ? [] : [data])];
  const extent =
    change.kind === 'tag'
      ? { disk: 0, offset: 0, length: 0 }
      : {
          ...{ disk: change.disk, offset: change.offset },
          length: change.kind === 'write' ? change.data.length : change.length,
        };
  encodeRecordHeader(
    header,
    0,
    {
      kind: RecordKind[change.kind],
      ...{ flags: 0, lsn, time: lsn, generation: 1, ...extent },
      payloadBytes: (table?.length ?? 0) + (data?.length ?? 0),
      payloadCrc: crc,
    },
    machineMark(machine),
  );
  return parts;
}

export interface Laid {
  redo: LentRedo[];
  replicas: string[];
  sizes: readonly number[];
}

/** Makes blank replicas, durably. */
export async function layReplicas(files: Files, sizes: readonly number[]): Promise<string[]> {
  const paths = sizes.map((_, disk) => `/replicas/${disk}.raw`);
  for (const [disk, path] of paths.entries()) {
    const fd = files.create(path);
    files.allocate(fd, sizes[disk]!);
    await files.sync(fd);
    files.close(fd);
  }
  await files.syncDirectory('/replicas');
  return paths;
}

/** Opens all that a step needs, as the main thread would; `close` gives it back. */
export class Opened {
  readonly files: Files;
  readonly disks: LentDisk[];
  readonly redo: LentRedo[];
  unknown: [number, number][] = [];

  constructor(files: Files, laid: Laid) {
    this.files = files;
    this.redo = laid.redo.map((segment) => ({ ...segment, fd: files.open(segment.path) }));
    this.disks = laid.replicas.map((path, disk) => ({
      ...{ fd: files.open(path), size: laid.sizes[disk]!, sparse: true },
      sums: `/derived/sums-${disk}`,
    }));
  }

  #job(from: number, to: number): Omit<WriteReplicaJob, 'flushBytes'> {
    const redo = this.redo.filter(({ firstLsn, lastLsn }) => lastLsn > from && firstLsn <= to);
    return { machine, generation: 1, from, to, redo, disks: this.disks, unknown: this.unknown };
  }

  saveJob(from: number, to: number): SaveUndoJob {
    const note = { from, to, fromTime: from, toTime: to, tag: null, point: true };
    return { ...this.#job(from, to), undoPath: '/undo/new', tablePath: '/derived/undo.table', note };
  }

  writeJob(from: number, to: number): WriteReplicaJob {
    return { ...this.#job(from, to), flushBytes: 64 * 1024 };
  }

  backJob(path: string, from: number, to: number): RollBackJob {
    const fd = this.files.open(path);
    const undo = { fd, path, from, to, bytes: this.files.size(fd) };
    return { machine, undo, disks: this.disks, unknown: this.unknown };
  }

  /** What differs from the model, in words; empty when nothing does. */
  differences(model: Model): string[] {
    const found: string[] = [];
    for (const [disk, { bytes, unknown }] of model.entries()) {
      const replica = Buffer.alloc(bytes.length);
      this.files.readSync(this.disks[disk]!.fd, replica, 0);
      for (let at = 0; at < bytes.length; at += 512) {
        const isUnknown = this.isUnknown(disk, at);
        if (isUnknown !== (unknown[at] === 1)) found.push(`disk ${disk} at ${at}: unknown ${isUnknown}`);
        else if (!isUnknown && bytes.compare(replica, at, at + 512, at, at + 512) !== 0)
          found.push(`disk ${disk} at ${at}: other bytes`);
      }
    }
    return found.slice(0, 5);
  }

  isUnknown(disk: number, offset: number): boolean {
    const address = machineAddress(disk, offset);
    return this.unknown.some(([start, end]) => start <= address && address < end);
  }

  /** Blocks that do not fit their sums, if these are said to be of `lsn`; null when they are not. */
  badBlocks(disk: number, lsn: number): [number, number][] | null {
    const { sums, size, fd } = this.disks[disk]!;
    const file = openSums(this.files, sums!, { machine, disk });
    if (file === null) return null;
    const reader = new SumsReader(file);
    const content = Buffer.alloc(size);
    this.files.readSync(fd, content, 0);
    const bad = reader.isValid(lsn) ? reader.check(0, content) : null;
    this.files.close(file.fd);
    return bad;
  }
}

export const everything = { start: wholeMachine.start, end: wholeMachine.end };
