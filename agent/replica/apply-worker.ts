// The thread that carries out steps of apply: the newest content of each extent of a run of redo goes to
// the replica.
import { parentPort } from 'node:worker_threads';
import { lentFileStore, type FileStore } from '../../core/block/file-store.ts';
import { writeFullySync } from '../../core/full-io.ts';
import { HomewardError, toHomewardError, type ErrorCode } from '../../core/errors.ts';
import { addressDisk, addressOffset } from '../../core/extents/address.ts';
import { buildTable } from '../../core/extents/build.ts';
import { ContentKind, type Extent } from '../../core/extents/extent-columns.ts';
import { ExtentList } from '../../core/extents/extent-list.ts';
import { hostFiles } from '../../core/files/host-files.ts';
import { limits } from '../../core/limits.ts';
import { checkTableBytes, payloadFits } from '../../core/record/payload.ts';
import { decodeRecordHeader, machineMark, recordHeaderBytes } from '../../core/record/record.ts';
import { listFrames } from '../../core/segment-log/frames.ts';
import { scanSegment } from '../../core/segment-log/scan.ts';
import { pushRecord } from '../journal/reindex.ts';

/** One step (from, to] within one segment. Files are lent. */
export interface StepJob {
  id: number;
  machine: Uint8Array;
  segment: { fd: number; firstLsn: number; end: number; path: string };
  from: number;
  to: number;
  disks: { fd: number }[];
  /** Addresses whose content in the replicas is unknown. */
  unknown: [number, number][];
}
export interface StepReply {
  id: number;
  failed: { code: ErrorCode; message: string } | null;
  bytes: number;
  /** The same after the step. */
  unknown: [number, number][];
}

interface Redo {
  content: Buffer;
  job: StepJob;
  machine: Buffer;
}

parentPort?.on('message', (job: StepJob) => {
  applyStep(job).then(
    (done) => parentPort?.postMessage({ id: job.id, failed: null, ...done } satisfies StepReply),
    (error: unknown) => {
      const { code, message } = toHomewardError(error);
      const nothing = { bytes: 0, unknown: [] };
      parentPort?.postMessage({ id: job.id, failed: { code, message }, ...nothing } satisfies StepReply);
    },
  );
});

/**
 * Writes in address order, in flushes that leave room for commits; gives back the bytes written. What is
 * unknown is left as it is in the replica, and listed.
 */
async function applyStep(job: StepJob): Promise<Pick<StepReply, 'bytes' | 'unknown'>> {
  const redo = readRedo(job);
  const table = buildTable(extentsOfStep(redo));
  const stores = job.disks.map(({ fd }) => lentFileStore(fd));
  const run = new WriteRun();
  const checked = new Set<number>();
  const unknown: [number, number][] = [];
  let unflushed = 0;
  for (let index = 0; index < table.count; index++) {
    const extent = table.columns.extent(index);
    if (extent.kind === ContentKind.unknown) {
      addUnknown(unknown, extent);
      continue;
    }
    const store = stores[addressDisk(extent.start)];
    if (store === undefined) throw damaged(`${job.segment.path} writes to a disk that is not there`);
    const offset = addressOffset(extent.start);
    if (extent.kind === ContentKind.zero)
      await store.zero(offset, extent.end - extent.start, { punch: true });
    else run.add(store.fd, offset, dataOf(redo, extent, offset, checked));
    unflushed += extent.end - extent.start;
    if (unflushed < limits.applyFlushBytes) continue;
    run.write();
    await flushAll(stores);
    unflushed = 0;
  }
  run.write();
  await flushAll(stores);
  return { bytes: run.bytes, unknown };
}

/** Bounded: what lies between the last places counts as unknown too when there are too many. */
function addUnknown(list: [number, number][], { start, end }: Extent): void {
  const last = list.at(-1);
  if (last !== undefined && (last[1] === start || list.length >= limits.unknownExtents)) last[1] = end;
  else list.push([start, end]);
}

/** Pieces that lie one behind the other on one disk, written with one call. */
class WriteRun {
  bytes = 0;
  #fd = -1;
  #start = 0;
  #end = 0;
  #parts: Buffer[] = [];

  add(fd: number, offset: number, data: Buffer): void {
    if (fd !== this.#fd || offset !== this.#end || this.#end - this.#start >= limits.applyWriteBytes) {
      this.write();
      this.#fd = fd;
      this.#start = offset;
    }
    this.#parts.push(data);
    this.#end = offset + data.length;
  }

  write(): void {
    if (this.#parts.length === 0) return;
    writeFullySync(this.#fd, this.#parts, this.#start);
    this.bytes += this.#end - this.#start;
    this.#parts = [];
    this.#fd = -1;
  }
}

/** Steps come one after another and segments are large: the memory for one serves them all. */
let memory = Buffer.alloc(0);

function readRedo(job: StepJob): Redo {
  if (memory.length < job.segment.end) memory = Buffer.allocUnsafeSlow(job.segment.end);
  const content = memory.subarray(0, job.segment.end);
  const read = hostFiles.readSync(job.segment.fd, content, 0);
  return { content: content.subarray(0, read), job, machine: Buffer.from(job.machine) };
}

function extentsOfStep({ content, job, machine }: Redo): ExtentList {
  const { segment, from, to } = job;
  const list = new ExtentList();
  for (const [start, end] of job.unknown) list.push(start, end, 0, 0, 0, ContentKind.unknown);
  scanSegment({
    content,
    frames: listFrames(content, machine, segment.firstLsn),
    machine: machineMark(machine),
    firstLsn: segment.firstLsn,
    cutLsn: to + 1,
    durable: to,
    visitor: {
      record(header, position) {
        if (header.lsn > from) pushRecord(list, 0, segment.firstLsn, header, position);
      },
      lost(lost) {
        if (lost.to > from) throw damaged(`records ${lost.from} to ${lost.to} of ${segment.path} are lost`);
      },
    },
  });
  return list;
}

/** The piece of a record's data that is the extent; the record's payload is checked once. */
function dataOf(
  { content, machine, job }: Redo,
  extent: Extent,
  offset: number,
  checked: Set<number>,
): Buffer {
  if (extent.kind !== ContentKind.data) throw damaged(`${job.segment.path} holds content that is unknown`);
  const header = decodeRecordHeader(content, extent.position, machineMark(machine));
  if (header === null)
    throw damaged(`the record at byte ${extent.position} of ${job.segment.path} is damaged`);
  const start = extent.position + recordHeaderBytes;
  if (!checked.has(extent.position)) {
    const payload = content.subarray(start, start + header.payloadBytes);
    if (!payloadFits(payload, header.payloadCrc, header.length)) {
      throw damaged(
        `record ${header.lsn} at byte ${extent.position} of ${job.segment.path} does not fit its checksum`,
      );
    }
    checked.add(extent.position);
  }
  const from = start + checkTableBytes(header.length) + offset - header.offset;
  return content.subarray(from, from + extent.end - extent.start);
}

async function flushAll(stores: readonly FileStore[]): Promise<void> {
  for (const store of stores) await store.flush();
}

const damaged = (message: string): HomewardError => new HomewardError('damaged', message);
