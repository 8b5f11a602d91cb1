// One stream to the process server: from its hello to its end, sends what the outbox has and takes what
// comes back.
import { ChainConnection, type ChainListener } from '../../core/chain/chain-connection.ts';
import { FrameSize } from '../../core/chain/frame-size.ts';
import type { Ack, Head, Note, Relay, SourceHello, Welcome } from '../../core/chain/messages.ts';
import { HomewardError, toHomewardError } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import type { Log } from '../../core/log.ts';
import { parseRecordHeader, type MachineMark } from '../../core/record/record.ts';
import type { BatchPlace } from '../outbox/batch-queue.ts';
import type { Outbox } from '../outbox/outbox.ts';
import type { openChain } from '../../core/chain/open-chain.ts';

export interface PushStreamOptions {
  connection: Awaited<ReturnType<typeof openChain>>;
  hello: SourceHello;
  outbox: Outbox;
  machine: MachineMark;
  log: Log;
  /** What a head says beside its position. */
  describe(): Pick<Head, 'state' | 'dirtyBytes' | 'sync' | 'scan'>;
  /** As of when everything up to `lsn` is, if the records alone say `time`. */
  asOf(lsn: number, time: number): number;
  /** Called behind the welcome, before anything is sent; what it throws ends the stream. */
  welcomed(welcome: Welcome): void;
  note(note: Note): void;
  relay(relay: Relay): void;
  closed(error: HomewardError | null): void;
}

/** Records go out in LSN order, each once in a stream; which they are the outbox says, turn by turn. */
export class PushStream implements ChainListener {
  readonly #options: PushStreamOptions;
  readonly #connection: ChainConnection;
  readonly #frames = new FrameSize();
  readonly #welcomeTimer: NodeJS.Timeout;
  #headTimer: NodeJS.Timeout | null = null;
  /** The LSN that comes next, and where it may lie in memory. */
  #next = Infinity;
  #place: BatchPlace | null = null;
  /** Of the first record in the run that was sent last: everything below `#next` is at least as new. */
  #sentTime: number | null = null;
  #full = false;
  #mustDrain = false;
  #reading = false;
  #closed = false;
  /** Why we ended it, where the connection itself would not know. */
  #ownReason: HomewardError | null = null;

  constructor(options: PushStreamOptions) {
    this.#options = options;
    const { socket, first } = options.connection;
    this.#connection = new ChainConnection({ socket, first, listener: this, log: options.log });
    this.#welcomeTimer = setTimeout(() => {
      this.end(new HomewardError('timed-out', 'the process server did not answer to the hello'));
    }, limits.welcomeMs);
    this.#connection.sendHello(options.hello);
  }

  welcome(welcome: Welcome): void {
    clearTimeout(this.#welcomeTimer);
    const { outbox } = this.#options;
    if (this.#next !== Infinity)
      throw new HomewardError('chain-broken', 'the process server said welcome twice');
    this.#options.welcomed(welcome);
    this.#connection.compress = welcome.compress && this.#options.hello.compress;
    outbox.acknowledged(welcome.spooled, welcome.target);
    this.#next = welcome.spooled + 1;
    this.#headTimer = setInterval(() => this.#sendHead(), limits.headIntervalMs);
    this.pump();
    this.#sendHead();
  }

  ack({ spooled, target }: Ack): void {
    const { outbox } = this.#options;
    if (spooled >= this.#next || target > outbox.headLsn) {
      throw new HomewardError('chain-broken', `record ${Math.max(spooled, target)} was acknowledged unsent`);
    }
    if (spooled > outbox.spooledLsn) this.#frames.arrived();
    outbox.acknowledged(spooled, target);
  }

  note(note: Note): void {
    if (note.kind === 'room') {
      this.#full = note.state === 'full';
      this.#options.outbox.slowed = note.state !== 'ok';
    }
    this.#options.note(note);
    this.pump();
  }

  relay(relay: Relay): void {
    this.#options.relay(relay);
  }

  drained(): void {
    this.#mustDrain = false;
    this.pump();
  }

  closed(error: HomewardError | null): void {
    this.#closed = true;
    clearTimeout(this.#welcomeTimer);
    if (this.#headTimer !== null) clearInterval(this.#headTimer);
    this.#options.outbox.slowed = false;
    this.#options.closed(this.#ownReason ?? error);
  }

  get welcomedYet(): boolean {
    return this.#next !== Infinity && !this.#closed;
  }

  sendNote(note: Note): void {
    this.#connection.sendNote(note);
  }
  sendRelay(relay: Relay): void {
    this.#connection.sendRelay(relay);
  }

  /** Ends it now; `closed` hears why. */
  end(reason: HomewardError | null): void {
    this.#ownReason ??= reason;
    this.#connection.destroy();
  }

  /** Sends what there is, as long as the connection takes it. */
  pump(): void {
    const { outbox } = this.#options;
    while (!this.#closed && !this.#full && !this.#mustDrain && !this.#reading) {
      const run = outbox.held.next(this.#next, this.#place);
      if (run === null) return;
      if (run === 'disk') return this.#readDisk();
      this.#place = run.place;
      this.#send(run.bytes, run.lastLsn);
    }
  }

  #send(bytes: Buffer, lastLsn: number): void {
    this.#sentTime = parseRecordHeader(bytes, 0, this.#options.machine)?.time ?? null;
    this.#next = lastLsn + 1;
    for (const piece of this.#frames.pieces(bytes, this.#options.machine))
      this.#mustDrain = !this.#connection.sendRecords([piece]);
  }

  #readDisk(): void {
    const from = this.#next;
    this.#reading = true;
    this.#options.outbox.held.readDisk(from).then(
      (run) => {
        this.#reading = false;
        if (this.#closed) return;
        if (run?.kind === 'damage') return this.#unreadable(`records ${run.from} to ${run.to} are damaged`);
        // What is below was acknowledged or given up meanwhile.
        if (run !== null && run.firstLsn >= from) this.#send(run.bytes, run.lastLsn);
        this.pump();
      },
      (error: unknown) => {
        this.#reading = false;
        if (!this.#closed) this.#unreadable(toHomewardError(error).message);
      },
    );
  }

  /** What was spilled cannot be had back: the dirty map has it, and a sync takes it from the disks. */
  #unreadable(message: string): void {
    const { outbox, log } = this.#options;
    log.error('outbox-damaged', { message });
    outbox.loseRecords();
    this.pump();
  }

  #sendHead(): void {
    if (this.#closed) return;
    const { outbox, describe, asOf } = this.#options;
    const isThrough = outbox.headLsn < Math.max(this.#next, outbox.heldFrom);
    const time = isThrough ? outbox.headTime : (outbox.held.timeOf(this.#next) ?? this.#sentTime);
    if (time === null) return; // the next record lies on disk: its time is known when it has been read
    const { backlogBytes } = outbox;
    const lsn = this.#next - 1;
    this.#connection.sendHead({ lsn, time: asOf(lsn, time), backlogBytes, ...describe() });
  }
}
