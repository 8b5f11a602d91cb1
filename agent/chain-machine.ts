// A machine that comes over the chain, as its pull sees it: records in, its disks as the source says, its
// first point.
import { HomewardError, toHomewardError } from '../core/errors.ts';
import { limits } from '../core/limits.ts';
import type { Log } from '../core/log.ts';
import { checkDiskName, checkDiskSize } from '../core/names.ts';
import { decodeSyncBegin } from '../core/record/notes.ts';
import type { RecordRun } from '../core/record/record-run.ts';
import { RecordKind, recordHeaderBytes, type RecordHeader } from '../core/record/record.ts';
import type { PulledMachine } from './ingest/pull/pulled-machine.ts';
import type { Machine } from './machine.ts';
import { refuseFenced } from './recovery/hand-over.ts';
import type { ProtectedDisk } from './replica/machine-file.ts';
import type { HeldContent } from './replica/view-content.ts';

export class ChainMachine implements PulledMachine {
  readonly machine: Machine;
  readonly #log: Log;

  constructor(machine: Machine, log: Log) {
    this.machine = machine;
    this.#log = log;
  }

  get id(): string {
    return this.machine.id;
  }
  get name(): string {
    return this.machine.name;
  }
  get journal(): Machine['journal'] {
    return this.machine.journal;
  }
  get appliedLsn(): number {
    return this.machine.cursor.lsn;
  }

  receive(run: RecordRun, done: (error: HomewardError | null) => void): void {
    refuseFenced(this.machine.file);
    const { journal } = this.machine;
    const had = journal.receivedLsn;
    for (const [index, header] of run.headers.entries()) {
      if (header.lsn <= had) continue;
      if (header.kind === RecordKind.syncBegin) this.#adoptDisks(header, run, run.positions[index] ?? 0);
      else this.#refuseOutside(header);
      if (header.kind === RecordKind.unknown) this.#warnUnknown(header);
    }
    journal.receive(run, null, (error) => {
      if (error === null) this.#settle();
      done(error);
    });
  }

  holdBefore(sync: number): HeldContent {
    const { sync: current } = this.machine.journal.catalogue;
    if (current?.lsn !== sync) throw new HomewardError('pruned', `no sync goes on that began with ${sync}`);
    return this.machine.holdForSync(current.before);
  }

  #warnUnknown({ lsn, disk, offset, length }: RecordHeader): void {
    this.#log.warn('unknown-received', { machine: this.name, lsn, disk, offset, length });
  }

  /** Apply could not carry it out, ever. */
  #refuseOutside({ kind, lsn, disk, offset, length }: RecordHeader): void {
    if (kind >= RecordKind.tag && kind <= RecordKind.syncEnd) return;
    if (length === 0) return;
    const known = this.machine.file.disks[disk];
    if (known !== undefined && offset + length <= known.size) return;
    const what = known === undefined ? `disk ${disk}` : `${known.name}, which has ${known.size} bytes`;
    const where = `bytes ${offset} to ${offset + length} of ${what}`;
    throw new HomewardError('machine-differs', `record ${lsn} is about ${where}`, {
      hint: 'The source says which disks it has when it begins a sync; restart its mobility service.',
    });
  }

  /**
   * A `sync-begin` has the new list of disks. Crash order: 1 room in the replicas · 2 `machine.json` · 3
   * the record: larger disks whose record never came do no harm.
   */
  #adoptDisks(header: RecordHeader, { bytes }: RecordRun, position: number): void {
    const start = position + recordHeaderBytes;
    const { disks } = decodeSyncBegin(bytes.subarray(start, start + header.payloadBytes));
    const { file } = this.machine;
    const changed = adoptedDisks(this.name, file.disks, disks);
    if (changed === null) return;
    const oldest = this.machine.oldestLsn ?? 0;
    const isStillSeen = ({ lsn }: { lsn: number }): boolean => lsn > oldest && lsn < header.lsn;
    const had = file.disks.map(({ name, size }) => ({ name, size }));
    this.machine.growReplicas(changed);
    this.machine.changeFile({
      disks: changed,
      before: [...(file.before ?? []).filter(isStillSeen), { lsn: header.lsn, disks: had }],
    });
    this.#log.info('disks-changed', {
      machine: this.name,
      lsn: header.lsn,
      disks: changed.map(({ name, size }) => `${name}=${size}`).join(' '),
    });
  }

  /**
   * What the first sync brought can be applied and pruned from its end on. A cursor that cannot be written
   * now is written after the next records.
   */
  #settle(): void {
    const { machine } = this;
    if (!machine.file.seeding) return;
    try {
      machine.settleFirstSync();
      if (!machine.file.seeding) machine.journal.roll();
    } catch (error) {
      this.#log.warn('first-point-not-written', { machine: this.name, error: toHomewardError(error) });
    }
  }
}

/**
 * The disks of a machine after a `sync-begin` that lists `said`; null when nothing changes. Disks may be
 * added behind the others and change in size; anything else is 'machine-differs'.
 */
export function adoptedDisks(
  machine: string,
  known: readonly ProtectedDisk[],
  said: readonly { name: string; size: number }[],
): ProtectedDisk[] | null {
  if (said.length === 0) return null;
  const spell = (disks: readonly { name: string }[]): string => disks.map(({ name }) => name).join(' ');
  if (known.some(({ name }, index) => said[index]?.name !== name)) {
    const message = `the source of ${machine} has the disks ${spell(said)}, not ${spell(known)}`;
    throw new HomewardError('machine-differs', message, {
      hint: 'Disks may be added behind the others; protect a machine with other disks under another name.',
    });
  }
  if (known.length === said.length && known.every(({ size }, index) => said[index]?.size === size))
    return null;
  if (said.length > limits.disksPerMachine || new Set(said.map(({ name }) => name)).size < said.length) {
    const names = spell(said).slice(0, 150);
    const message = `the source of ${machine} says ${said.length} disks, or one twice: ${names}`;
    throw new HomewardError('machine-differs', message, {
      hint: `A machine has up to ${limits.disksPerMachine} disks, each with a name of its own.`,
    });
  }
  return said.map(({ name, size }, index) => ({
    name: checkDiskName(name),
    size: checkDiskSize(size),
    replica: known[index]?.replica ?? { kind: 'file' },
  }));
}
