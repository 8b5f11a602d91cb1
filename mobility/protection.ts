// Carries out the protection of a machine: recording, the stream to its process server, and syncs.
import type { Head, Note, Relay, Welcome } from '../core/chain/messages.ts';
import type { Clock } from '../core/clock.ts';
import { HomewardError, toHomewardError } from '../core/errors.ts';
import type { Assignment, SignedAssignment } from '../core/identity/assignment.ts';
import type { HostIdentity } from '../core/identity/host-identity.ts';
import { limits } from '../core/limits.ts';
import type { Log } from '../core/log.ts';
import type { SourceReport } from '../core/registration/messages.ts';
import { regionBytes } from './capture/captured-disks.ts';
import type { MachineDisks } from './scan/machine-disks.ts';
import type { Scans } from './scan/scans.ts';
import type { Numbering } from './outbox/numbering.ts';
import type { Outbox, StopReason } from './outbox/outbox.ts';
import { decide, initialProtection, sourceState } from './protection-state.ts';
import type { ProtectionAction, ProtectionEvent, ProtectionState, SyncNeed } from './protection-state.ts';
import { HashQuestions } from './push/hash-questions.ts';
import { Places } from './push/places.ts';
import { Push, type PushListener, type PushOptions } from './push/push.ts';
import { Syncs } from './sync/sync.ts';
import { asScan, syncNeedFor, syncNeeds } from './sync-needs.ts';

export interface ProtectionOptions {
  outbox: Outbox;
  numbering: Numbering;
  captured: MachineDisks;
  /** Of the disks that are scanned, or null. */
  scans: Scans | null;
  /** Disks that are new or larger than at the last start. */
  grown: readonly string[];
  clock: Clock;
  log: Log;
  version: string;
  compress: boolean;
  /** How a stream is opened, when not as usual. */
  open?: PushOptions['open'];
}

/** Events come from anywhere, in any turn; `decide` says what follows, and this does it. */
export class Protection implements PushListener {
  readonly #options: ProtectionOptions;
  readonly #places = new Places((note) => this.#push?.sendNote(note) ?? false);
  readonly #hashes = new HashQuestions((relay) => this.#push?.sendRelay(relay) ?? false);
  readonly #syncs: Syncs;
  #state: ProtectionState;
  #assignment: Assignment | null = null;
  /** Of the assignment, as it was signed. */
  #text = '';
  #push: Push | null = null;
  /** The process server that has answered last. */
  #metServer: string | null = null;
  #problem: HomewardError | null = null;
  /** Streams are ended and begun one after the other. */
  #pushes: Promise<void> = Promise.resolve();
  #sync: { running: Promise<void>; abort: AbortController } | null = null;
  #restTimer: NodeJS.Timeout | null = null;
  #atStart = true;
  #stopped = false;

  constructor(options: ProtectionOptions) {
    this.#options = options;
    const { outbox, captured, scans, clock, log } = options;
    this.#state = initialProtection(outbox.recording);
    outbox.onStopped = (reason) => this.#recordingStopped(reason);
    outbox.onSyncBegun = () => this.#dispatch({ kind: 'sync-begun' });
    const hashes = this.#hashes.ask;
    scans?.asks(hashes);
    const parts = { captured, recorder: outbox, places: this.#places, hashes, part: scans, clock, log };
    this.#syncs = new Syncs(parts);
  }

  /** The newest assignment of the machine, or one that has ended. */
  assign(identity: HostIdentity, assignment: Assignment, signed: SignedAssignment): void {
    const { outbox, numbering, captured, grown } = this.#options;
    if (this.#stopped || signed.text === this.#text) return;
    if (assignment.ended) return this.end();
    this.#text = signed.text;
    const { recording } = outbox;
    const situation = { recording, needsSync: captured.needsSync, grown, atStart: this.#atStart };
    const anew = !this.#state.active;
    const need = syncNeedFor(assignment, numbering.state, situation);
    this.#atStart = false;
    this.#assignment = assignment;
    // Once it is active, only another master target is a reason of its own.
    const wanted = anew || numbering.state.target !== assignment.masterTarget ? need : null;
    this.#dispatch({ kind: 'assigned', need: wanted });
    this.#replacePush(identity, assignment, signed);
  }

  /** Not protected any more: nothing is recorded, and the disks are served on. */
  end(): void {
    this.#atStart = false;
    this.#assignment = null;
    this.#text = '';
    if (this.#state.active || this.#state.recording) this.#dispatch({ kind: 'ended' });
    this.#pushes = this.#pushes.then(() => this.#endPush());
  }

  /** Content is on a disk that no record carries. */
  syncNeeded(reason: string): void {
    this.#dispatch({ kind: 'wanted', need: syncNeeds.asked(reason, false) });
  }

  /**
   * The master target may have these extents wrong: their regions are compared with what it has, and sent
   * where they differ; where a disk is scanned, all of the machine is. Order: 1 the map says so, durably · 2
   * the sync, or the one that goes on. Throws 'not-assigned'.
   */
  async resync(
    extents: readonly { disk: number; start: number; end: number }[],
  ): Promise<{ regions: number; whole: boolean; state: 'begun' | 'joined' | 'waits' }> {
    const { captured, log } = this.#options;
    if (!this.#state.active) throw new HomewardError('not-assigned', 'the machine is not protected now');
    const whole = extents.some(({ disk }) => captured.isScanned(disk));
    if (!whole) for (const { disk, start, end } of extents) await captured.mark(disk, start, end);
    const regions = whole ? 0 : countRegions(extents);
    const need = syncNeeds.asked(damagedReason, whole);
    const running = whole ? null : this.#taker();
    log.info('resync-asked', { extents: extents.length, regions, whole, joined: running !== null });
    if (running === null) {
      this.#dispatch({ kind: 'wanted', need });
      return { regions, whole, state: this.connected ? 'begun' : 'waits' };
    }
    // One that was just about to end may have looked at the map for the last time.
    void running.then(() => {
      if (captured.needsSync && this.#state.need === null && !this.#stopped)
        this.#dispatch({ kind: 'wanted', need });
    });
    return { regions, whole, state: 'joined' };
  }

  /** The sync under way, if it takes what gets into the map before it ends. */
  #taker(): Promise<void> | null {
    const { running, begun, aborting } = this.#state;
    return running !== null && running.scan !== true && begun && !aborting
      ? (this.#sync?.running ?? null)
      : null;
  }

  /** A scan is due: at once, or behind the sync that goes on. */
  scan(): void {
    this.#dispatch({ kind: 'wanted', need: syncNeeds.scan() });
  }

  get assignment(): Assignment | null {
    return this.#assignment;
  }
  get state(): Readonly<ProtectionState> {
    return this.#state;
  }
  get connected(): boolean {
    return this.#push?.connected ?? false;
  }

  describe(): Pick<Head, 'state' | 'dirtyBytes' | 'sync' | 'scan'> {
    const { captured, scans } = this.#options;
    const { dirtyBytes } = captured;
    const said = { state: sourceState(this.#state), dirtyBytes, sync: this.#syncs.progress };
    if (scans === null) return said;
    const { lastTime, problem } = scans;
    return { ...said, scan: { lastTime, problem, only: captured.onlyScans } };
  }

  /** The oldest of the disks counts: those that are scanned are as the last scan found them. */
  asOf(lsn: number, time: number): number {
    return Math.min(time, this.#options.scans?.asOf(lsn) ?? time);
  }

  /** What a heartbeat says of the stream. */
  report(): Pick<SourceReport, 'head' | 'connected' | 'problem'> {
    const { headLsn: lsn, headTime, backlogBytes } = this.#options.outbox;
    const time = this.asOf(lsn, headTime);
    const problem = this.connected || this.#problem === null ? null : this.#problem;
    return {
      head: { lsn, time, backlogBytes, ...this.describe() },
      connected: this.connected,
      problem: problem === null ? null : { code: problem.code, message: problem.message },
    };
  }

  /**
   * Ends stream and sync. True when the sequence of records is whole: everything that the disks have is in
   * records, or in regions that their records have yet to leave.
   */
  async stop(): Promise<boolean> {
    this.#stopped = true;
    if (this.#restTimer !== null) clearTimeout(this.#restTimer);
    const { recording, need, running, gap } = this.#state;
    const isScan = (each: SyncNeed | null): boolean => each === null || each.scan === true;
    const whole = recording && !gap && isScan(need) && isScan(running);
    this.#sync?.abort.abort(interrupted());
    await this.#sync?.running;
    await this.#pushes;
    await this.#endPush();
    return whole;
  }

  welcomed(welcome: Welcome): void {
    this.#problem = null;
    const server = this.#assignment?.processServer.hostId ?? null;
    const moved = this.#metServer !== null && this.#metServer !== server;
    this.#metServer = server;
    const reason = this.#options.outbox.meet(welcome);
    if (reason === 'lost' && moved)
      this.#dispatch({ kind: 'stopped', overflow: false, need: syncNeeds.moved() });
    else if (reason !== null) this.#recordingStopped(reason);
    // Behind the turn in which the stream takes up the welcome, so that notes can be sent.
    setImmediate(() => {
      if (!this.connected) return;
      this.#places.connected();
      this.#dispatch({ kind: 'connected' });
    });
  }

  disconnected(problem: HomewardError): void {
    this.#problem = problem;
    this.#hashes.disconnected();
    this.#dispatch({ kind: 'disconnected' });
  }

  note(note: Note): void {
    if (note.kind === 'room') this.#dispatch({ kind: 'room', state: note.state });
    else if (note.kind === 'sync-place') this.#places.placed(note.ahead);
    else if (note.kind === 'resync') this.#asked(syncNeeds.asked(note.reason, note.full));
    // A sync that began behind the lost records has taken what they changed.
    else if (note.kind === 'lost' && note.to >= this.#options.outbox.syncBeginLsn) this.#lost();
  }

  relay(relay: Relay): void {
    this.#hashes.received(relay);
  }

  /** What a scan has sent is not in the dirty map: nothing that it knows of the target counts any more. */
  #lost(): void {
    this.#asked({ ...syncNeeds.lost(), full: this.#options.scans !== null });
  }

  #asked(need: SyncNeed): void {
    this.#options.log.warn('sync-asked-for', { reason: need.reason, full: need.full });
    this.#dispatch({ kind: 'wanted', need });
  }

  #recordingStopped(reason: StopReason): void {
    if (reason === 'unprotected') return;
    this.#dispatch({ kind: 'stopped', overflow: reason === 'overflow', need: syncNeeds[reason]() });
  }

  #dispatch(given: ProtectionEvent): void {
    const { state, actions } = decide(this.#state, this.#options.captured.onlyScans ? scanned(given) : given);
    const before = sourceState(this.#state);
    this.#state = state;
    const after = sourceState(state);
    if (before !== after) this.#options.log.info('protection-state', { state: after, before });
    for (const action of actions) this.#act(action);
  }

  #act(action: ProtectionAction): void {
    if (action.do === 'allow-recording') this.#options.outbox.allow(true);
    else if (action.do === 'stop-recording') this.#options.outbox.allow(false);
    else if (action.do === 'abort-sync') this.#sync?.abort.abort(interrupted());
    else if (action.do === 'rest') this.#rest();
    else if (!this.#stopped) this.#begin(action.need);
  }

  #rest(): void {
    const ms = this.#options.scans === null ? limits.protectionRetryMs : limits.scanRetryMs;
    this.#restTimer = setTimeout(() => {
      this.#restTimer = null;
      this.#dispatch({ kind: 'rested' });
    }, ms);
  }

  #begin(need: SyncNeed): void {
    const abort = new AbortController();
    const running = this.#runSync(need, abort.signal).then((done) => {
      this.#sync = null;
      this.#dispatch({ kind: done ? 'sync-done' : 'sync-failed' });
    });
    this.#sync = { running, abort };
  }

  /**
   * Order: 1 the dirty map has every region, durably, if everything has to be copied · 2 whose copy it
   * speaks of, durably · 3 the sync. A crash before 2 begins with 1 again. True when it is done; never
   * rejects.
   */
  async #runSync(need: SyncNeed, signal: AbortSignal): Promise<boolean> {
    const { captured, numbering, log } = this.#options;
    try {
      if (need.full) await captured.fillDirty();
      const target = this.#assignment?.masterTarget;
      if (target === undefined) return false;
      const { state } = numbering;
      if (state.target !== target) numbering.setTarget(target, false);
      if (need.full) this.#dispatch({ kind: 'filled' });
      const { reason, checksums, scan: partOnly = false } = need;
      const outcome = await this.#syncs.run({ reason, checksums, partOnly }, signal);
      if (outcome.state !== 'done') return false;
      if (!numbering.state.synced) numbering.setTarget(target, true);
      return true;
    } catch (error) {
      if (!signal.aborted) log.error('sync-failed', { reason: need.reason, error: toHomewardError(error) });
      return false;
    }
  }

  #replacePush(identity: HostIdentity, assignment: Assignment, signed: SignedAssignment): void {
    const { outbox, log, version, compress, open } = this.#options;
    this.#pushes = this.#pushes.then(async () => {
      await this.#endPush();
      if (this.#stopped || this.#assignment !== assignment) return;
      const parts = { identity, assignment, signed, version, compress, outbox, listener: this, log };
      this.#push = new Push({ ...parts, ...(open && { open }) });
      this.#push.start();
    });
  }

  async #endPush(): Promise<void> {
    const push = this.#push;
    this.#push = null;
    await push?.stop();
    if (push !== null && this.#state.connected) this.disconnected(interrupted());
  }
}

function countRegions(extents: readonly { disk: number; start: number; end: number }[]): number {
  const found = new Set<string>();
  for (const { disk, start, end } of extents)
    for (let at = Math.floor(start / regionBytes); at * regionBytes < end; at += 1)
      found.add(`${disk} ${at}`);
  return found.size;
}

const damagedReason = 'damaged at the master target';

/** Every disk is scanned: what else would be a sync of the dirty map is the next scan. */
function scanned(event: ProtectionEvent): ProtectionEvent {
  if (event.kind === 'assigned') return { ...event, need: event.need === null ? null : asScan(event.need) };
  if (event.kind === 'stopped' || event.kind === 'wanted') return { ...event, need: asScan(event.need) };
  return event;
}

const interrupted = (): HomewardError => new HomewardError('interrupted', 'it was ended from here');
