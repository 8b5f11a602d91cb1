// A source's stream: its records into the spool, acknowledgements and notes back.
import type { ChainConnection, ChainListener } from '../core/chain/chain-connection.ts';
import type { Ack, Head, Note, Relay, RoomState, SourceHello } from '../core/chain/messages.ts';
import type { Clock } from '../core/clock.ts';
import { toHomewardError, type HomewardError } from '../core/errors.ts';
import { limits } from '../core/limits.ts';
import { parseRecordRun, type RecordRun } from '../core/record/record-run.ts';
import type { MemoryShares } from './memory-shares.ts';
import type { SyncScope } from './spool/amends.ts';
import type { Spool } from './spool/spool.ts';
import type { SyncPlaces } from './sync-places.ts';

/** What a session has to do with the rest of its machine. */
export interface SourceHost {
  /** Room that the spool has for this machine. */
  readonly room: RoomState;
  /** Nothing could be appended: the records stay in memory until it works again. */
  appendFailed(error: HomewardError): void;
  /** Records became durable. */
  changed(): void;
  head(head: Head): void;
  relay(relay: Relay): void;
  gone(session: SourceSession): void;
}

export interface SourceSessionOptions {
  connection: ChainConnection;
  hello: SourceHello;
  spool: Spool;
  host: SourceHost;
  shares: MemoryShares;
  places: SyncPlaces;
  clock: Clock;
}

/** Records that have been received and checked, and are not in the log yet. */
interface Pending {
  run: RecordRun;
  bytes: number;
}

export class SourceSession implements ChainListener {
  readonly #options: SourceSessionOptions;
  readonly #pending: Pending[] = [];
  /** Received and not durable: pending, or in a group that the log still needs. */
  #bytes = 0;
  #closed = false;
  #draining = false;
  #paused = false;
  /** While room is short nothing is read before this, milliseconds of the monotonic clock. */
  #restsUntil = 0;
  #restTimer: NodeJS.Timeout | null = null;
  #ackScheduled = false;
  #acked: Ack | null = null;
  /** The newest LSN that this stream has named: nothing above it is acknowledged here. */
  #seen = 0;
  /** The wish for a sync that this source has been told, and whether it got a place after that. */
  #told: { full: boolean; placed: boolean } | null = null;

  constructor(options: SourceSessionOptions) {
    this.#options = options;
  }

  /** Answers the hello. */
  start(): void {
    const { connection, hello, spool, host, shares } = this.#options;
    shares.join(this);
    if (hello.target !== undefined) spool.amends.noteTold(hello.target);
    const { spooled, oldest, generation } = spool;
    this.#seen = spooled;
    const target = spool.amends.tell(spool.target);
    const applied = Math.min(spool.applied, target);
    connection.sendWelcome({ compress: hello.compress, generation, spooled, target, applied, oldest });
    if (host.room !== 'ok') this.tellRoom(host.room);
    for (const lost of spool.amends.lost) connection.sendNote({ kind: 'lost', ...lost });
    this.tellResync();
  }

  get connected(): boolean {
    return !this.#closed;
  }

  tellRoom(state: RoomState): void {
    this.#options.connection.sendNote({ kind: 'room', state });
    this.drain();
  }

  /** Records that no master target will get with their content. */
  tellLost(lsn: number, reason: string): void {
    this.#options.connection.sendNote({ kind: 'lost', from: lsn, to: lsn, reason });
  }

  /** Says that a sync is wanted, unless this source knows. */
  tellResync(): void {
    const { spool, connection } = this.#options;
    const { resync } = spool.amends;
    if (resync === null || (this.#told !== null && (this.#told.full || !resync.full))) return;
    this.#told = { full: resync.full, placed: false };
    connection.sendNote({ kind: 'resync', reason: resync.reason, full: resync.full });
  }

  records(body: Buffer): void {
    if (this.#closed) return;
    const { spool, host, clock } = this.#options;
    try {
      const run = parseRecordRun(body, spool.mark, { payloads: true });
      this.#pending.push({ run, bytes: body.length });
      this.#seen = Math.max(this.#seen, run.headers.at(-1)?.lsn ?? 0);
    } catch (error) {
      spool.noteProblem(`the source sent what cannot be read: ${toHomewardError(error).message}`);
      this.fail(toHomewardError(error));
      return;
    }
    this.#bytes += body.length;
    if (host.room === 'slow')
      this.#restsUntil = clock.monotonicMs() + (body.length / limits.spoolSlowBytesPerSecond) * 1000;
    this.drain();
  }

  /** Appends what is pending, as long as the spool takes it. */
  drain(): void {
    // What is appended may be durable at once, and whoever hears of it asks for this again.
    if (this.#draining) return;
    this.#draining = true;
    this.#appendPending();
    this.#draining = false;
    this.#read();
  }

  #appendPending(): void {
    const { spool, host } = this.#options;
    while (!this.#closed && host.room !== 'full' && spool.closedBecause === null) {
      const next = this.#pending[0];
      if (next === undefined) break;
      try {
        this.#append(next);
        this.#pending.shift();
      } catch (error) {
        const failure = toHomewardError(error);
        if (failure.code === 'no-space' || failure.code === 'journal-failed') host.appendFailed(failure);
        else this.fail(failure);
        break;
      }
    }
  }

  /** The bytes count until no group of them is needed any more, which may be long after a failed sync. */
  #append({ run, bytes }: Pending): void {
    const { spool, host } = this.#options;
    let groups = 1;
    const release = (): void => {
      groups -= 1;
      if (groups > 0) return;
      this.#bytes -= bytes;
      this.#read();
    };
    const owner = { retain: (): void => void (groups += 1), release };
    spool.append(run, {
      owner,
      durable: (error) => {
        if (error === null) host.changed();
      },
      syncBegan: (lsn, scope) => this.#syncBegan(lsn, scope),
    });
    release();
  }

  /** One that does not answer the wish is followed by another telling, when it has ended. */
  #syncBegan(lsn: number, scope: SyncScope): void {
    const { amends } = this.#options.spool;
    amends.syncBegan(lsn, scope);
    if (amends.resync === null) this.#told = null;
    else if (this.#told !== null) this.#told.placed = false;
  }

  /** Stops or resumes reading: a fair share of memory for each source, and a rest while room is short. */
  #read(): void {
    if (this.#closed) return;
    const { shares, clock, connection } = this.#options;
    const restMs = this.#restsUntil - clock.monotonicMs();
    const pause = this.#bytes >= shares.shareBytes || restMs > 0;
    if (restMs > 0)
      this.#restTimer ??= setTimeout(() => {
        this.#restTimer = null;
        this.#read();
      }, restMs).unref();
    if (pause === this.#paused) return;
    this.#paused = pause;
    if (pause) connection.pause();
    else connection.resume();
  }

  /** Positions may have moved: one acknowledgement for all that moves in a turn of the loop. */
  moved(): void {
    if (this.#ackScheduled || this.#closed) return;
    this.#ackScheduled = true;
    setImmediate(() => {
      this.#ackScheduled = false;
      this.#ack(false);
    });
  }

  /** Each second. */
  tick(): void {
    this.#read();
    this.#ack(true);
  }

  #ack(always: boolean): void {
    if (this.#closed) return;
    const { spool, connection } = this.#options;
    const spooled = Math.min(spool.spooled, this.#seen);
    const target = spool.amends.tell(spool.target);
    const ack = { spooled, target, applied: Math.min(spool.applied, target) };
    const before = this.#acked;
    const moved =
      before === null ||
      before.spooled !== ack.spooled ||
      before.target !== ack.target ||
      before.applied !== ack.applied;
    if (!moved && !always) return;
    this.#acked = ack;
    connection.sendAck(ack);
  }

  head(head: Head): void {
    this.#options.host.head(head);
  }

  relay(relay: Relay): void {
    this.#options.host.relay(relay);
  }

  sendRelay(relay: Relay): void {
    this.#options.connection.sendRelay(relay);
  }

  note(note: Note): void {
    const { places } = this.#options;
    if (note.kind === 'sync-wanted') places.want(this);
    else if (note.kind === 'sync-done') {
      places.leave(this);
      // What was under way when it was told did not answer: it is told once more.
      if (this.#told?.placed === false) this.#told = null;
      this.tellResync();
    }
  }

  /** Called by the places. */
  ahead(count: number): void {
    if (count === 0 && this.#told !== null) this.#told.placed = true;
    this.#options.connection.sendNote({ kind: 'sync-place', ahead: count });
  }

  closed(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#restTimer !== null) clearTimeout(this.#restTimer);
    this.#pending.length = 0;
    const { shares, places, host } = this.#options;
    shares.leave(this);
    places.leave(this);
    host.gone(this);
  }

  /** Says why, and ends. */
  fail(error: HomewardError): void {
    this.#options.connection.fail(error);
    this.closed();
  }
}
