// A master target's stream: records out of the spool as fast as it takes them, heads behind their records.
import type { ChainConnection, ChainListener } from '../core/chain/chain-connection.ts';
import { FrameSize } from '../core/chain/frame-size.ts';
import type { Ack, Head, Relay, TargetHello } from '../core/chain/messages.ts';
import { HomewardError, toHomewardError } from '../core/errors.ts';
import { limits } from '../core/limits.ts';
import type { LogReader, ReadDamage, ReadRun } from '../core/segment-log/log-reader.ts';
import { asUnknown, holdsContent } from './spool/unknown-record.ts';
import { mayFollow, type ServingPlan } from './spool/serving-plan.ts';
import type { Spool } from './spool/spool.ts';

/** What a session has to do with the rest of its machine. */
export interface TargetHost {
  /** The master target has made more durable, or said what it has. */
  moved(): void;
  /** A sync is wanted; the spool knows which. */
  resyncWanted(): void;
  /** A record is passed on without its content. */
  lost(lsn: number, reason: string): void;
  relay(relay: Relay): void;
  gone(session: TargetSession): void;
}

export interface TargetSessionOptions {
  connection: ChainConnection;
  hello: TargetHello;
  spool: Spool;
  host: TargetHost;
}

/** Invariant: the peer has been given everything up to `#position`, but for what a sync made up for. */
export class TargetSession implements ChainListener {
  readonly #options: TargetSessionOptions;
  readonly #frames = new FrameSize();
  #position: number;
  #reader: LogReader | null = null;
  #heads: Head[] = [];
  #mustDrain = false;
  #closed = false;
  #pumping: Promise<void> | null = null;
  /** Something may have become possible while a read was under way. */
  #again = false;
  /** Nothing can be given before a sync that is newer than this one. */
  #stuckAt: number | null = null;

  constructor(options: TargetSessionOptions) {
    this.#options = options;
    this.#position = options.hello.durable;
  }

  /** Answers the hello and begins to serve. */
  start(newestHead: Head | null): void {
    const { connection, hello, spool, host } = this.#options;
    spool.noteGeneration(hello.generation);
    spool.noteTarget(hello.durable, hello.applied);
    spool.targetBegins();
    const { generation, spooled, target, applied, oldest } = spool;
    connection.sendWelcome({ compress: hello.compress, generation, spooled, target, applied, oldest });
    connection.compress = hello.compress;
    if (newestHead !== null) this.#heads.push(newestHead);
    host.moved();
    this.wake();
  }

  /** Records became durable, a sync began, or the peer takes more: goes on where it can. */
  wake(): void {
    this.#again = true;
    if (this.#pumping !== null || this.#closed) return;
    this.#pumping = this.#pump().finally(() => {
      this.#pumping = null;
      if (this.#closed) this.#letGo();
      else if (this.#again && !this.#mustDrain) this.wake();
    });
  }

  head(head: Head): void {
    // Heads go this way only; what a master target says of itself is in its acknowledgements.
    throw new HomewardError('chain-broken', `a master target sent a head (${head.lsn})`);
  }

  /** A head of the source: sent once its records have been. */
  sendHead(head: Head): void {
    this.#heads.push(head);
    if (this.#heads.length > limits.spoolHeads)
      this.#heads = this.#heads.filter((_, index) => index % 2 === 1);
    this.#sendHeads();
  }

  relay(relay: Relay): void {
    this.#options.host.relay(relay);
  }

  sendRelay(relay: Relay): void {
    this.#options.connection.sendRelay(relay);
  }

  ack({ target, applied }: Ack): void {
    const { spool, hello, host } = this.#options;
    if (target > Math.max(this.#position, hello.durable) || applied > target)
      throw new HomewardError(
        'chain-broken',
        `a master target says that it has ${target}, which it was not given`,
      );
    if (target < spool.target) return;
    if (target > spool.target) this.#frames.arrived();
    spool.noteTarget(target, applied);
    host.moved();
  }

  drained(): void {
    this.#mustDrain = false;
    this.wake();
  }

  /** Each second: a sign of life. */
  tick(): void {
    if (this.#closed) return;
    const { spooled, target, applied } = this.#options.spool;
    this.#options.connection.sendAck({ spooled, target, applied });
  }

  closed(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#pumping === null) this.#letGo();
    this.#options.host.gone(this);
  }

  /** Says why, and ends. */
  fail(error: HomewardError): void {
    this.#options.connection.fail(error);
    this.closed();
  }

  /** Resolves when nothing of the spool is read any more. */
  async settled(): Promise<void> {
    await this.#pumping;
  }

  async #pump(): Promise<void> {
    try {
      while (this.#again && !this.#closed) {
        this.#again = false;
        while (!this.#closed && !this.#mustDrain && (await this.#step()));
      }
    } catch (error) {
      if (!this.#closed) this.fail(toHomewardError(error));
    }
  }

  /** One read and what comes of it; false when there is nothing to do until the next `wake`. */
  async #step(): Promise<boolean> {
    const { spool } = this.#options;
    if (this.#stuckAt === newestSync(spool)) return false;
    if (this.#reader === null && !this.#follow(spool.plan(this.#position))) return false;
    const reader = this.#reader;
    if (reader === null) return false;
    let found: ReadRun | ReadDamage | null;
    try {
      found = await reader.read(limits.spoolReadBytes, true);
    } catch (error) {
      if (!(error instanceof HomewardError) || error.code !== 'pruned') throw error;
      this.#letGo();
      return this.#follow(spool.planAround(this.#position + 1, spool.oldest - 1));
    }
    if (this.#closed || found === null) return false;
    if (found.kind === 'run') return this.#send(found);
    return this.#goAround(found);
  }

  /** False when there is nothing to read. */
  #follow(plan: ServingPlan): boolean {
    const { spool, host } = this.#options;
    this.#stuckAt = plan.kind === 'resync' ? newestSync(spool) : null;
    if (plan.kind === 'serve') {
      if (plan.from > this.#position + 1) spool.noteUseless(this.#position, plan.from - 1);
      this.#reader = spool.reader(plan.from);
      return true;
    }
    if (plan.kind === 'resync') {
      spool.noteUseless(this.#position, spool.spooled);
      const from = this.#position + 1;
      spool.amends.wantResync(
        `the spool cannot give the master target record ${from} and what follows`,
        plan.full,
      );
      host.resyncWanted();
    }
    return false;
  }

  #send({ bytes, firstLsn, lastLsn }: ReadRun): boolean {
    const { spool, connection } = this.#options;
    if (!mayFollow(spool.amends, this.#position, firstLsn)) {
      this.#letGo();
      return this.#follow(spool.planAround(this.#position + 1, firstLsn - 1));
    }
    spool.amends.sent(firstLsn, this.#position);
    spool.amends.given(this.#position, firstLsn, lastLsn);
    for (const piece of this.#frames.pieces(bytes, spool.mark))
      this.#mustDrain = !connection.sendRecords([piece]);
    this.#position = lastLsn;
    this.#sendHeads();
    return true;
  }

  /**
   * A damaged record whose header is sound goes on as `unknown`: 1 that it is lost is on disk · 2 the
   * source is told, before any acknowledgement that covers it · 3 the record is sent. What cannot go on so,
   * a sync has to make up for.
   */
  #goAround({ from, to, header }: ReadDamage): boolean {
    const { spool, connection } = this.#options;
    const unknown = header === null || from !== this.#position + 1 ? null : asUnknown(header, spool.mark);
    if (header === null || unknown === null) {
      spool.noteProblem(`records ${from} to ${to} are damaged in the spool`);
      this.#letGo();
      return this.#follow(spool.planAround(this.#position + 1, to));
    }
    this.#noteDamaged(from, holdsContent(header));
    this.#mustDrain = !connection.sendRecords([unknown]);
    this.#position = to;
    this.#sendHeads();
    return true;
  }

  #noteDamaged(lsn: number, isContent: boolean): void {
    const { spool, host } = this.#options;
    const { amends } = spool;
    const reason = 'its content is damaged in the spool';
    if (!isContent || amends.isMadeUpFor(lsn)) return spool.noteProblem(`record ${lsn} is lost: ${reason}`);
    if (lsn <= amends.told) {
      // The source holds it safe at the master target, so its dirty map does not have it any more.
      amends.wantResync(`record ${lsn} is lost: ${reason}`, true, true);
      host.resyncWanted();
    } else if (amends.noteLost(lsn, reason)) host.lost(lsn, reason);
  }

  /** The newest head whose records have all been sent; the older ones say nothing more. */
  #sendHeads(): void {
    const at = this.#heads.findLastIndex(({ lsn }) => lsn <= this.#position);
    const head = this.#heads[at];
    if (head === undefined || this.#closed) return;
    this.#heads.splice(0, at + 1);
    const { connection, spool } = this.#options;
    connection.sendHead({ ...head, processServerBytes: spool.backlogBytes });
  }

  #letGo(): void {
    this.#reader?.close();
    this.#reader = null;
  }
}

const newestSync = (spool: Spool): number => spool.amends.jumps.at(-1)?.lsn ?? 0;
