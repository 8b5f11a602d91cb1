// One machine on a process server: its spool, and its source and master target where they are connected.
import type { ChainConnection, ChainListener } from '../core/chain/chain-connection.ts';
import type { AgainHello, Head, Relay, RoomState, SourceHello, TargetHello } from '../core/chain/messages.ts';
import type { Clock } from '../core/clock.ts';
import { HomewardError } from '../core/errors.ts';
import type { Assignment } from '../core/identity/assignment.ts';
import type { Peer } from '../core/identity/tls.ts';
import type { Log } from '../core/log.ts';
import type { SpoolReport } from '../core/registration/messages.ts';
import { limits } from '../core/limits.ts';
import { refusalOf } from './admission.ts';
import { AgainSession } from './again-session.ts';
import type { MemoryShares } from './memory-shares.ts';
import { SourceSession, type SourceHost } from './source-session.ts';
import type { RoomMachine } from './spool/room.ts';
import { Spool, type SpoolOptions } from './spool/spool.ts';
import type { SyncPlaces } from './sync-places.ts';
import { TargetSession, type TargetHost } from './target-session.ts';

export interface MachineOptions {
  spool: Omit<SpoolOptions, 'changed' | 'grown'>;
  shares: MemoryShares;
  places: SyncPlaces;
  clock: Clock;
  log: Log;
  /** The spool has grown, or no room was found for records. */
  roomWanted(): void;
}

export class Machine implements SourceHost, TargetHost {
  readonly id: string;
  readonly spool: Spool;
  room: RoomState = 'ok';
  readonly #options: MachineOptions;
  #source: { session: SourceSession; peer: Peer } | null = null;
  #target: { session: TargetSession; peer: Peer } | null = null;
  readonly #again = new Map<AgainSession, Peer>();
  #newestHead: Head | null = null;
  /** What ended sessions were reading has been read. */
  #settled: Promise<void> = Promise.resolve();

  private constructor(options: MachineOptions, spool: Spool) {
    this.id = spool.machine;
    this.spool = spool;
    this.#options = options;
  }

  static async open(options: MachineOptions): Promise<Machine> {
    let machine: Machine | null = null;
    const spool = await Spool.open({
      ...options.spool,
      changed: () => machine?.changed(),
      grown: () => options.roomWanted(),
    });
    machine = new Machine(options, spool);
    return machine;
  }

  /** A source has been admitted; the one before, of the same host, ends. */
  attachSource(connection: ChainConnection, hello: SourceHello, peer: Peer): ChainListener {
    const { shares, places, clock, log } = this.#options;
    this.#source?.session.fail(replaced('source'));
    const session = new SourceSession({
      connection,
      hello,
      spool: this.spool,
      host: this,
      shares,
      places,
      clock,
    });
    this.#source = { session, peer };
    log.info('source-connected', { machine: this.id, host: peer.hostId, spooled: this.spool.spooled });
    session.start();
    return session;
  }

  attachTarget(connection: ChainConnection, hello: TargetHello, peer: Peer): ChainListener {
    const { log } = this.#options;
    this.#target?.session.fail(replaced('master target'));
    const session = new TargetSession({ connection, hello, spool: this.spool, host: this });
    this.#target = { session, peer };
    log.info('target-connected', { machine: this.id, host: peer.hostId, durable: hello.durable });
    session.start(this.#newestHead);
    return session;
  }

  /** A master target asks for records that it has lost, beside its stream. */
  attachAgain(connection: ChainConnection, hello: AgainHello, peer: Peer): ChainListener {
    if (this.#again.size >= limits.againSessions)
      throw new HomewardError('too-many-attempts', 'records of this machine are being sent again already');
    const { spool } = this;
    const session = new AgainSession({ connection, hello, spool, gone: (one) => this.#ended(one) });
    this.#again.set(session, peer);
    const { from, to } = hello;
    this.#options.log.info('records-asked-again', { machine: this.id, host: peer.hostId, from, to });
    session.start();
    return session;
  }

  #ended(session: AgainSession): void {
    this.#again.delete(session);
    this.#settled = Promise.all([this.#settled, session.settled()]).then(() => undefined);
  }

  /** Ends the sessions of hosts that the machine is not assigned to any more. */
  assigned(assignment: Assignment, hostId: string): void {
    for (const [role, side] of [
      ['source', this.#source],
      ['target', this.#target],
    ] as const) {
      if (side === null) continue;
      const refusal = refusalOf(assignment, { role, peer: side.peer, hostId });
      if (refusal !== null) side.session.fail(new HomewardError('not-assigned', refusal));
    }
    for (const [session, peer] of this.#again) {
      const refusal = refusalOf(assignment, { role: 'again', peer, hostId });
      if (refusal !== null) session.fail(new HomewardError('not-assigned', refusal));
    }
  }

  /** Records became durable, or are taken again. */
  changed(): void {
    this.#source?.session.moved();
    this.#source?.session.drain();
    this.#target?.session.wake();
  }

  /** The master target has moved. */
  moved(): void {
    this.#source?.session.moved();
  }

  resyncWanted(): void {
    this.#source?.session.tellResync();
  }

  lost(lsn: number, reason: string): void {
    this.#source?.session.tellLost(lsn, reason);
  }

  head(head: Head): void {
    this.#newestHead = head;
    this.#target?.session.sendHead(head);
  }

  /** What one side says to the other; dropped when that is not there. */
  relay(relay: Relay): void {
    const receiver = relay.kind === 'hashes-wanted' ? this.#target : this.#source;
    receiver?.session.sendRelay(relay);
  }

  appendFailed(error: HomewardError): void {
    this.spool.noteProblem(error.message);
    this.setRoom('full');
    this.#options.roomWanted();
  }

  gone(session: SourceSession | TargetSession): void {
    const { log } = this.#options;
    if (session instanceof TargetSession)
      this.#settled = Promise.all([this.#settled, session.settled()]).then(() => undefined);
    if (this.#source?.session === session) {
      this.#source = null;
      log.info('source-gone', { machine: this.id });
    }
    if (this.#target?.session === session) {
      this.#target = null;
      log.info('target-gone', { machine: this.id });
    }
  }

  setRoom(room: RoomState): void {
    if (room === this.room) return;
    this.room = room;
    this.#options.log[room === 'full' ? 'warn' : 'info']('spool-room', { machine: this.id, room });
    this.#source?.session.tellRoom(room);
  }

  roomMachine(): RoomMachine {
    const { spool, id, room } = this;
    const { target, applied, bytes } = spool;
    return { id, room, target, applied, bytes, segments: spool.roomSegments(), useless: spool.droppable };
  }

  report(): SpoolReport {
    const { spool } = this;
    return {
      machine: this.id,
      spooled: spool.spooled,
      target: spool.target,
      applied: spool.applied,
      backlogBytes: spool.backlogBytes,
      spoolBytes: spool.bytes,
      sourceConnected: this.#source !== null,
      targetConnected: this.#target !== null,
      room: this.room,
      problems: [...spool.problems],
    };
  }

  /** Each second. */
  tick(): void {
    this.#source?.session.tick();
    this.#target?.session.tick();
    this.spool.saveSometimes();
  }

  endSessions(): void {
    const stopping = new HomewardError('chain-broken', 'the process server stops');
    this.#source?.session.fail(stopping);
    this.#target?.session.fail(stopping);
    for (const session of this.#again.keys()) session.fail(stopping);
  }

  async close(): Promise<void> {
    this.endSessions();
    await this.#settled;
    await this.spool.close();
  }
}

const replaced = (role: string): HomewardError =>
  new HomewardError('chain-broken', `another connection of the same ${role} has taken over`);
