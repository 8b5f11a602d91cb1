// What tests of capture and sync need around it: a recorder that keeps its records, a clock, requests as
// promises.
import type { BlockStore } from '../../../../core/block/block-store.ts';
import type { Clock } from '../../../../core/clock.ts';
import { silentLog } from '../../../../core/log.ts';
import type { NbdErrno, NbdExport } from '../../../../core/nbd/export.ts';
import { RecordKind } from '../../../../core/record/record.ts';
import { microseconds } from '../../../../core/units.ts';
import { FrontDisks, type FrontDisksOptions } from '../../../../mobility/capture/front-disks.ts';
import type { Change, Recorder } from '../../../../mobility/outbox/recorder.ts';
import type { SyncBeginNote } from '../../../../core/record/notes.ts';
import { SimulatedFiles } from '../../../support/simulated-files.ts';

export interface KeptRecord {
  lsn: number;
  change: Change | null;
  note: SyncBeginNote | 'sync-end' | 'tag' | null;
}

/** Keeps every record, says how far they have got, and can lose them. */
export class ListRecorder implements Recorder {
  records: KeptRecord[] = [];
  recording = true;
  allowed = true;
  crowded = false;
  headLsn = 0;
  spooledLsn = 0;
  targetLsn = 0;
  /** Whether what was told of the master target can be written down. */
  keeps = true;
  /** Called behind each record. */
  onRecord: () => void = () => undefined;
  readonly #listeners: (() => void)[] = [];

  record(change: Change): number | null {
    if (!this.recording) return null;
    const payload = change.payload === null ? null : Buffer.from(change.payload);
    return this.#add({ ...change, payload }, null);
  }

  tag(): { lsn: number; time: number } | null {
    return this.#noted('tag');
  }

  syncBegin(note: SyncBeginNote): { lsn: number; time: number } | null {
    if (!this.allowed) return null;
    this.recording = true;
    this.headLsn += 100;
    return this.#noted(note);
  }

  syncEnd(): { lsn: number; time: number } | null {
    return this.#noted('sync-end');
  }

  keepTold(): boolean {
    return this.keeps;
  }

  onProgress(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** Everything so far is where it should be, unless told how far. */
  acknowledge(spooled = this.headLsn, target = spooled): void {
    this.spooledLsn = Math.max(spooled, this.spooledLsn);
    this.targetLsn = Math.max(target, this.targetLsn);
    for (const listener of this.#listeners) listener();
  }

  /** What the process server does not have is gone, and nothing is kept until the next sync. */
  overflow(): void {
    this.recording = false;
    this.records = this.records.filter(({ lsn }) => lsn <= this.spooledLsn);
  }

  get changes(): Change[] {
    return this.records.flatMap(({ change }) => (change === null ? [] : [change]));
  }

  #noted(note: KeptRecord['note']): { lsn: number; time: number } | null {
    return this.recording ? { lsn: this.#add(null, note), time: 1 } : null;
  }

  #add(change: Change | null, note: KeptRecord['note']): number {
    this.headLsn += 1;
    this.records.push({ lsn: this.headLsn, change, note });
    this.onRecord();
    return this.headLsn;
  }
}

/** What records make of a disk. */
export function replay(content: Buffer, changes: readonly Change[], disk = 0): Buffer {
  for (const change of changes) {
    if (change.disk !== disk) continue;
    if (change.kind === RecordKind.write) change.payload?.copy(content, change.offset);
    else content.fill(0, change.offset, change.offset + change.length);
  }
  return content;
}

/** Stands still until moved. */
export class ManualClock implements Clock {
  ms = 1_000_000;
  now = () => microseconds(this.ms * 1000);
  monotonicMs = (): number => this.ms;
}

export const machine = Buffer.from('00112233445566778899aabbccddeeff', 'hex');
const noBuffer = { retain: () => undefined, release: () => undefined };

export interface Front {
  front: FrontDisks;
  recorder: ListRecorder;
  clock: ManualClock;
  files: SimulatedFiles;
  syncsNeeded: string[];
}

export function simulatedFiles(): SimulatedFiles {
  return new SimulatedFiles({ directories: ['/data'] });
}

/** Captured disks over stores; what is dirty in the beginning is taken as copied, unless told otherwise. */
export async function openFront(
  stores: readonly BlockStore[],
  options: Partial<FrontDisksOptions> & {
    files?: SimulatedFiles;
    recorder?: ListRecorder;
    dirty?: boolean;
  } = {},
): Promise<Front> {
  const recorder = options.recorder ?? new ListRecorder();
  const clock = new ManualClock();
  const files = options.files ?? simulatedFiles();
  const syncsNeeded: string[] = [];
  const front = await FrontDisks.open({
    disks: stores.map((store, at) => ({ name: `disk${at}`, path: `/dev/disk${at}`, store })),
    machine,
    data: '/data',
    before: { clean: false },
    clock,
    log: silentLog,
    onSyncNeeded: (reason) => syncsNeeded.push(reason),
    ...options,
    files,
    recorder,
  });
  if (options.dirty !== true) {
    for (const region of front.beginSync()) front.copied(region, 0);
    await front.sweep();
  }
  return { front, recorder, clock, files, syncsNeeded };
}

export function diskOf(front: FrontDisks, at = 0): NbdExport {
  const found = front.exports[at];
  if (found === undefined) throw new RangeError(`no disk ${at}`);
  return found;
}

export function write(to: NbdExport, payload: Buffer, offset: number, fua = false): Promise<NbdErrno> {
  return new Promise((resolve) => {
    to.write(payload, offset, fua, noBuffer, resolve);
  });
}

export function zero(to: NbdExport, offset: number, length: number, discard = false): Promise<NbdErrno> {
  return new Promise((resolve) => {
    to.zero(offset, length, { discard, punch: true, fua: false }, resolve);
  });
}

export function flush(to: NbdExport): Promise<NbdErrno> {
  return new Promise((resolve) => {
    to.flush(resolve);
  });
}

export async function contentOf(store: BlockStore): Promise<Buffer> {
  const content = Buffer.alloc(store.size);
  await store.read(content, 0);
  return content;
}

/** Some turns of the event loop. */
export async function turns(count: number): Promise<void> {
  for (let at = 0; at < count; at += 1)
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
}
