// The protected machine on this host: its disks, its sequence of writes, the protection of both, and its
// tags.
import path from 'node:path';
import type { Clock } from '../core/clock.ts';
import type { Config } from '../core/config.ts';
import type { openChain } from '../core/chain/open-chain.ts';
import { HomewardError } from '../core/errors.ts';
import type { Files } from '../core/files/files.ts';
import { hostFiles } from '../core/files/host-files.ts';
import type { FileStore } from '../core/block/file-store.ts';
import { limits } from '../core/limits.ts';
import type { Log } from '../core/log.ts';
import type { SourceReport } from '../core/registration/messages.ts';
import type { ResyncOutcome } from '../core/registration/resync-words.ts';
import { machineBytes } from '../core/record/record.ts';
import { regionBytes } from './capture/captured-disks.ts';
import { claimDisk } from './capture/claim-disk.ts';
import { FrontDisks } from './capture/front-disks.ts';
import { MachineDisks } from './scan/machine-disks.ts';
import { forgetOtherWays, measureDisks, openCommands, openScans, type ScanOrder } from './scan/open-scans.ts';
import type { ScanCommands } from './scan/scan-commands.ts';
import type { ScanPath } from './scan/scan-disk.ts';
import { ScanSchedule } from './scan/scan-schedule.ts';
import type { Scans } from './scan/scans.ts';
import { Numbering } from './outbox/numbering.ts';
import { Outbox } from './outbox/outbox.ts';
import {
  newSourceState,
  planDisks,
  readSourceFile,
  writeSourceFile,
  type SourceState,
} from './outbox/source-file.ts';
import { Protection } from './protection.ts';
import type { SyncNeed } from './protection-state.ts';
import { Tagger } from './tags/tagger.ts';
import { TagSchedule } from './tags/tag-schedule.ts';

export interface MachineDisk {
  name: string;
  /** Absolute. */
  path: string;
}

export interface MachineOptions {
  data: string;
  name: string;
  disks: readonly MachineDisk[];
  /** Disks that are scanned beside those, or instead of them. */
  scan?: ScanOrder | null;
  /** Absolute path of the operator's script, or null. */
  customScript: string | null;
  config: Config;
  clock: Clock;
  log: Log;
  version: string;
  files?: Files;
  open?: typeof openChain;
}

interface Parts {
  options: MachineOptions;
  numbering: Numbering;
  outbox: Outbox;
  front: FrontDisks;
  scans: Scans | null;
  disks: MachineDisks;
  protection: Protection;
}

export class Machine {
  readonly front: FrontDisks;
  readonly disks: MachineDisks;
  /** Null where no disk is scanned. */
  readonly scanning: ScanSchedule | null;
  readonly protection: Protection;
  readonly outbox: Outbox;
  readonly tagger: Tagger;
  readonly #numbering: Numbering;
  readonly #scans: Scans | null;
  readonly #schedule: TagSchedule;
  readonly #log: Log;

  constructor({ options, numbering, outbox, front, scans, disks, protection }: Parts) {
    const { log, clock } = options;
    this.front = front;
    this.disks = disks;
    this.#scans = scans;
    this.protection = protection;
    this.outbox = outbox;
    this.#numbering = numbering;
    this.#log = log;
    const refusal = (): HomewardError | null => this.#tagRefusal();
    const script = { script: options.customScript, scriptLimitMs: options.config.customScriptMs };
    const begunFile = path.join(options.data, 'script-begun');
    this.tagger = new Tagger({ recorder: outbox, refusal, ...script, begunFile, log });
    this.#schedule = new TagSchedule({
      tagger: this.tagger,
      recorder: outbox,
      // Each scan ends in a tag.
      intervalMs: () => (disks.onlyScans ? null : (protection.assignment?.consistencyIntervalMs ?? null)),
      possible: () => this.#tagRefusal() === null,
      clock,
      log,
    });
    this.#schedule.start();
    this.scanning = scans === null ? null : this.#scheduleOf(scans, options);
    this.scanning?.start();
  }

  /**
   * Order: 1 the disks are claimed and compared with what is known · 2 the clean mark goes, durably · 3 the
   * dirty maps are opened, new parts of disks in them, durably · 4 the new list of disks, durably.
   */
  static async open(options: MachineOptions): Promise<Machine> {
    const file = path.join(options.data, 'source.json');
    const prepared = await prepare(options, file);
    try {
      return await openMachine(options, file, prepared);
    } catch (error) {
      for (const { store } of prepared.disks) await store.close();
      throw error;
    }
  }

  /** UUID. */
  get id(): string {
    return this.#numbering.state.machine;
  }
  get name(): string {
    return this.#numbering.state.name;
  }

  /** The disks with what they lie on. */
  get backings(): { name: string; size: number; path: string }[] {
    const all = [...this.front.disks, ...(this.#scans?.disks ?? [])];
    return all
      .toSorted((one, other) => one.index - other.index)
      .map(({ name, size, path: backing }) => ({ name, size, path: backing }));
  }

  report(): SourceReport {
    const disks = this.disks.disks.map(({ name, size }) => {
      const kind =
        this.#scans?.disks.some((disk) => disk.name === name) === true
          ? ('scan' as const)
          : ('front' as const);
      return { name, size, kind };
    });
    return { machine: this.id, name: this.name, disks, ...this.protection.report() };
  }

  /** Compares extents with the master target, and sends what differs; says how much is looked at. */
  async resync(extents: readonly { disk: number; start: number; end: number }[]): Promise<ResyncOutcome> {
    const outcome = await this.protection.resync(extents);
    const all = this.disks.disks.reduce((sum, { size }) => sum + size, 0);
    return { ...outcome, bytes: outcome.whole ? all : Math.min(outcome.regions * regionBytes, all) };
  }

  /** No tags any more; resolves when the last step of a script that is due has run. */
  async stopTags(): Promise<void> {
    await Promise.all([this.tagger.stop(), this.#schedule.stop()]);
  }

  /**
   * To be called when no request of the workload is in flight any more. Order: 1 stream and sync end · 2 the
   * outbox is durable · 3 the disks are flushed, and closed · 4 the clean mark, if the sequence is whole.
   */
  async close(): Promise<void> {
    const whole = await this.protection.stop();
    this.scanning?.stop();
    const left = await this.outbox.close(whole);
    await this.front.close();
    await this.#scans?.close();
    const clean = left !== null && !this.front.needsSync;
    if (clean) this.#numbering.stopCleanly(left, this.outbox.told);
    this.#numbering.close();
    this.#log.info('machine-closed', { clean, lsn: this.outbox.headLsn });
  }

  #scheduleOf(scans: Scans, { scan, clock }: MachineOptions): ScanSchedule {
    const { protection } = this;
    return new ScanSchedule({
      scans,
      everyMs: scan?.everyMs ?? Infinity,
      refusal: () => this.#scanRefusal(),
      syncing: () => protection.state.running !== null || protection.state.need !== null,
      begin: () => protection.scan(),
      clock,
    });
  }

  /** Why there can be no scan by itself now, or null: what has to be synced first has the scan in it. */
  #scanRefusal(): HomewardError | null {
    const { active } = this.protection.state;
    if (!active) return new HomewardError('not-assigned', `${this.name} is not protected`);
    if (this.#numbering.state.synced) return null;
    return new HomewardError('no-points', `the first copy of ${this.name} has not ended yet`);
  }

  /** Why a tag would be no point just now, or null. */
  #tagRefusal(): HomewardError | null {
    const { state } = this.protection;
    if (!state.active) return new HomewardError('not-assigned', `${this.name} is not protected`);
    const isScan = (each: SyncNeed | null): boolean => each === null || each.scan === true;
    if (state.recording && !state.gap && isScan(state.running) && isScan(state.need)) return null;
    if (!this.#numbering.state.synced)
      return new HomewardError('no-points', `the first copy of ${this.name} has not ended yet`);
    return new HomewardError('in-gap', `${this.name} has no exact points until its sync has ended`, {
      hint: '`homeward status` shows how far the sync is; ask again when it has ended.',
    });
  }
}

interface Prepared {
  state: SourceState;
  /** `index`: in the order of all the machine's disks, whose list is `all`. */
  disks: { name: string; path: string; store: FileStore; index: number }[];
  scanned: (ScanPath & { index: number; size: number })[];
  all: { name: string; size: number }[];
  grown: string[];
  commands: ScanCommands | null;
}

async function openMachine(options: MachineOptions, file: string, prepared: Prepared): Promise<Machine> {
  const { data, clock, log, config, version, files = hostFiles, open } = options;
  const { state, disks, all, grown } = prepared;
  let protection: Protection | null = null;
  const numbering = new Numbering({ file, state, clock, log, resume: grown.length === 0 });
  const outbox = await Outbox.open({
    directory: path.join(data, 'outbox'),
    numbering,
    files,
    clock,
    log,
    memoryBytes: config.outboxMemoryBytes,
    diskBytes: config.outboxBytes,
  });
  const { scanned } = prepared;
  forgetOtherWays(data, disks.map(nameOf), scanned.map(nameOf));
  const front = await FrontDisks.open({
    disks,
    machine: machineBytes(state.machine),
    data,
    before: outbox.recording ? { clean: true, headLsn: outbox.headLsn } : { clean: false },
    recorder: outbox,
    clock,
    log,
    files,
    onSyncNeeded: (reason) => protection?.syncNeeded(reason),
  });
  const scans = await takeUpScans(options, prepared, { numbering, outbox, front });
  const captured = new MachineDisks(front, scans);
  if (grown.length > 0) numbering.setDisks(all);
  let release = (): void => undefined;
  outbox.onPressure = (pressed) => {
    release();
    if (pressed) release = front.holdReplies(limits.replyHoldMs);
  };
  const compress = config.chainCompression;
  const parts = { outbox, numbering, captured, scans, grown, clock, log, version, compress };
  protection = new Protection({ ...parts, ...(open && { open }) });
  return new Machine({ options, numbering, outbox, front, scans, disks: captured, protection });
}

/** Null where no disk is scanned. */
async function takeUpScans(
  { data, clock, log, files = hostFiles }: MachineOptions,
  { state, scanned, commands }: Prepared,
  { numbering, outbox, front }: Pick<Parts, 'numbering' | 'outbox' | 'front'>,
): Promise<Scans | null> {
  if (commands === null) return null;
  let changed = -1;
  let changedMs = -Infinity;
  const scans = await openScans({
    data,
    machine: machineBytes(state.machine),
    disks: scanned,
    commands,
    recorder: outbox,
    onGrown: () => numbering.setDisks(new MachineDisks(front, scans).disks.map(nameAndSize)),
    sentBefore: () => numbering.state.generation > 0,
    busy: () => {
      if (front.changedBytes !== changed) changedMs = clock.monotonicMs();
      changed = front.changedBytes;
      return front.disks.length > 0 && clock.monotonicMs() - changedMs < busyMs;
    },
    files,
    clock,
    log,
  });
  return scans;
}

/** A scan reads half of the time while the workload has written within this. */
const busyMs = 1_000;
const nameOf = ({ name }: { name: string }): string => name;
const nameAndSize = ({ name, size }: { name: string; size: number }) => ({ name, size });

/** Claims the disks; those that are known come in the order that they had. */
async function prepare(options: MachineOptions, file: string): Promise<Prepared> {
  const claimed: { name: string; path: string; store: FileStore }[] = [];
  try {
    for (const { name, path: backing } of options.disks)
      claimed.push({ name, path: backing, store: await claimDisk(name, backing) });
    const known = readSourceFile(file);
    const scan = options.scan ?? null;
    const commands = scan === null ? null : openCommands(options.data, scan, options.log);
    const sizes = commands && scan ? await measureDisks(scan.disks, known?.disks ?? [], commands) : [];
    const given = [...claimed.map(({ name, store }) => ({ name, size: store.size })), ...sizes];
    const state = known ?? newSourceState(options.name, planDisks([], given).disks);
    if (state.name !== options.name)
      throw new HomewardError('machine-differs', `${options.data} belongs to the machine ${state.name}`, {
        hint: `Give --machine ${state.name}, or another --data directory for ${options.name}.`,
      });
    const plan = planDisks(state.disks, given);
    if (known === null) writeSourceFile(file, state);
    const inOrder = <T extends { name: string }>(disks: readonly T[]): (T & { index: number })[] =>
      plan.disks.flatMap(({ name }, index) => {
        const disk = disks.find((each) => each.name === name);
        return disk === undefined ? [] : [{ ...disk, index }];
      });
    const scanned = inOrder(scan?.disks ?? []).map((disk) => ({
      ...disk,
      size: plan.disks[disk.index]?.size ?? 0,
    }));
    return { state, disks: inOrder(claimed), scanned, all: plan.disks, grown: plan.grown, commands };
  } catch (error) {
    for (const { store } of claimed) await store.close();
    throw error;
  }
}
