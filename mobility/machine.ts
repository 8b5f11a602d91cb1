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
import { claimDisk } from './capture/claim-disk.ts';
import { FrontDisks } from './capture/front-disks.ts';
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
  protection: Protection;
}

export class Machine {
  readonly front: FrontDisks;
  readonly protection: Protection;
  readonly outbox: Outbox;
  readonly tagger: Tagger;
  readonly #numbering: Numbering;
  readonly #schedule: TagSchedule;
  readonly #log: Log;
  readonly #toldTimer: NodeJS.Timeout;

  constructor({ options, numbering, outbox, front, protection }: Parts) {
    const { log, clock } = options;
    this.front = front;
    this.protection = protection;
    this.outbox = outbox;
    this.#numbering = numbering;
    this.#log = log;
    const refusal = (): HomewardError | null => this.#tagRefusal();
    this.tagger = new Tagger({ recorder: outbox, refusal, script: options.customScript, log });
    this.#schedule = new TagSchedule({
      tagger: this.tagger,
      recorder: outbox,
      intervalMs: () => protection.assignment?.consistencyIntervalMs ?? null,
      possible: () => this.#tagRefusal() === null,
      clock,
      log,
    });
    this.#schedule.start();
    this.#toldTimer = setInterval(() => numbering.noteTold(outbox.told), limits.toldNotedMs).unref();
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

  report(): SourceReport {
    const disks = this.front.disks.map(({ name, size }) => ({ name, size, kind: 'front' as const }));
    return { machine: this.id, name: this.name, disks, ...this.protection.report() };
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
    clearInterval(this.#toldTimer);
    const whole = await this.protection.stop();
    const left = await this.outbox.close(whole);
    await this.front.close();
    const clean = left !== null && !this.front.needsSync;
    if (clean) this.#numbering.stopCleanly(left, this.outbox.told);
    this.#numbering.close();
    this.#log.info('machine-closed', { clean, lsn: this.outbox.headLsn });
  }

  /** Why a tag would be no point just now, or null. */
  #tagRefusal(): HomewardError | null {
    const { state } = this.protection;
    if (!state.active) return new HomewardError('not-assigned', `${this.name} is not protected`);
    if (state.recording && state.running === null && state.need === null) return null;
    if (!this.#numbering.state.synced)
      return new HomewardError('no-points', `the first copy of ${this.name} has not ended yet`);
    return new HomewardError('in-gap', `${this.name} has no exact points until its sync has ended`, {
      hint: '`homeward status` shows how far the sync is; ask again when it has ended.',
    });
  }
}

interface Prepared {
  state: SourceState;
  disks: { name: string; path: string; store: FileStore }[];
  grown: string[];
}

async function openMachine(options: MachineOptions, file: string, prepared: Prepared): Promise<Machine> {
  const { data, clock, log, config, version, files = hostFiles, open } = options;
  const { state, disks, grown } = prepared;
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
  const front = await FrontDisks.open({
    disks,
    machine: Buffer.from(state.machine.replaceAll('-', ''), 'hex'),
    data,
    before: outbox.recording ? { clean: true, headLsn: outbox.headLsn } : { clean: false },
    recorder: outbox,
    clock,
    log,
    files,
    onSyncNeeded: (reason) => protection?.syncNeeded(reason),
  });
  if (grown.length > 0) numbering.setDisks(disks.map(({ name, store }) => ({ name, size: store.size })));
  let release = (): void => undefined;
  outbox.onPressure = (pressed) => {
    release();
    if (pressed) release = front.holdReplies(limits.replyHoldMs);
  };
  const compress = config.chainCompression;
  const parts = { outbox, numbering, captured: front, grown, clock, log, version, compress };
  protection = new Protection({ ...parts, ...(open && { open }) });
  return new Machine({ options, numbering, outbox, front, protection });
}

/** Claims the disks; those that are known come in the order that they had. */
async function prepare(options: MachineOptions, file: string): Promise<Prepared> {
  const claimed: Prepared['disks'] = [];
  try {
    for (const { name, path: backing } of options.disks)
      claimed.push({ name, path: backing, store: await claimDisk(name, backing) });
    const given = claimed.map(({ name, store }) => ({ name, size: store.size }));
    const known = readSourceFile(file);
    const state = known ?? newSourceState(options.name, planDisks([], given).disks);
    if (state.name !== options.name)
      throw new HomewardError('machine-differs', `${options.data} belongs to the machine ${state.name}`, {
        hint: `Give --machine ${state.name}, or another --data directory for ${options.name}.`,
      });
    const plan = planDisks(state.disks, given);
    if (known === null) writeSourceFile(file, state);
    const inOrder = plan.disks.map(({ name }) => claimed.find((disk) => disk.name === name));
    const disks = inOrder.filter((disk) => disk !== undefined);
    return { state, disks, grown: plan.grown };
  } catch (error) {
    for (const { store } of claimed) await store.close();
    throw error;
  }
}
