// A transmission whose socket is the test, and an export that keeps payloads as the journal does.
import { silentLog } from '../../core/log.ts';
import { NbdErrno, type NbdExport, type ReceiveBuffer } from '../../core/nbd/export.ts';
import { ReadBuffers } from '../../core/nbd/read-buffers.ts';
import { Inbox } from '../../core/nbd/receive.ts';
import { ReceivePool } from '../../core/nbd/receive-pool.ts';
import { emptyHeader, encodeRequest } from '../../core/nbd/requests.ts';
import { Transmission } from '../../core/nbd/transmission.ts';
import { MiB } from '../../core/units.ts';

export const turn = (): Promise<void> =>
  new Promise((resolve) => {
    setImmediate(resolve);
  });

/** A connection whose socket is the test: `deliver` is the client sending, `sent` what it gets. */
export class Harness {
  readonly sent: Buffer[] = [];
  finished = false;
  unsentBytes = 0;
  takesReplies = true;
  readonly inbox: Inbox;
  readonly transmission: Transmission;
  #place: Buffer | null = null;

  constructor(served: NbdExport, pool = new ReceivePool(), structured = true) {
    this.inbox = new Inbox(pool, {
      room: () => this.ready(),
      moved: (place) => {
        this.#place = place;
      },
    });
    const wire = {
      send: (buffers: Buffer[]) => {
        this.sent.push(...buffers);
        if (!this.takesReplies) this.unsentBytes += Buffer.concat(buffers).length;
      },
      ready: () => this.ready(),
      finished: () => {
        this.finished = true;
      },
      unsentBytes: 0,
    };
    Object.defineProperty(wire, 'unsentBytes', { get: () => this.unsentBytes });
    this.transmission = new Transmission({
      export: served,
      structured,
      allocation: structured,
      inbox: this.inbox,
      wire,
      readBuffers: new ReadBuffers(),
      log: silentLog,
    });
    this.#place = this.transmission.advance();
  }

  get reading(): boolean {
    return this.#place !== null;
  }

  ready(): void {
    if (this.#place === null && !this.finished) this.#place = this.transmission.advance();
  }

  /** Fills places as they are given, at most `piece` bytes at a time; waits for places. */
  async deliver(bytes: Uint8Array, piece = Infinity): Promise<void> {
    for (let at = 0, waited = 0; at < bytes.length && !this.finished;) {
      if (this.#place === null) {
        if (++waited > 10_000) throw new Error('never goes on');
        await turn();
        continue;
      }
      const part = bytes.subarray(at, at + Math.min(piece, this.#place.length));
      this.#place.set(part);
      at += part.length;
      waited = 0;
      this.inbox.landed(part.length);
      this.#place = this.transmission.advance();
    }
  }

  /** Errno by cookie of all simple replies, when nothing else was sent. */
  errnos(): Map<number, number> {
    const all = Buffer.concat(this.sent);
    const errnos = new Map<number, number>();
    for (let at = 0; at < all.length; at += 16) {
      if (all.readUInt32BE(at) !== 0x67446698) throw new Error('not a simple reply');
      const cookie = all.readUInt32BE(at + 12);
      if (errnos.has(cookie)) throw new Error(`request ${cookie} was answered twice`);
      errnos.set(cookie, all.readUInt32BE(at + 4));
    }
    return errnos;
  }
}

export const request = (
  command: number,
  cookieLow: number,
  offset: number,
  length: number,
  flags = 0,
): Buffer => encodeRequest({ ...emptyHeader(), command, cookieLow, offset, length, flags });

/**
 * Keeps payloads until told, as the journal does until they are durable; then checks that they are still what
 * came.
 */
export class Keeper implements NbdExport {
  readonly name = 'disk0';
  readonly description = '';
  readonly size = 64 * MiB;
  readonly readOnly = false;
  readonly multiConnection = true;
  readonly writes: { payload: Buffer; copy: Buffer; offset: number; buffer: ReceiveBuffer }[] = [];

  write(
    payload: Buffer,
    offset: number,
    _fua: boolean,
    buffer: ReceiveBuffer,
    done: (errno: NbdErrno) => void,
  ): void {
    buffer.retain();
    this.writes.push({ payload, copy: Buffer.from(payload), offset, buffer });
    done(NbdErrno.ok);
  }

  /** How many payloads were changed while they were kept. */
  letGo(count = Infinity): number {
    const gone = this.writes.splice(0, count);
    for (const { buffer } of gone) buffer.release();
    return gone.filter(({ payload, copy }) => !payload.equals(copy)).length;
  }

  read(_target: Buffer, _offset: number, done: (errno: NbdErrno) => void): void {
    done(NbdErrno.EIO);
  }
  zero(_offset: number, _length: number, _options: object, done: (errno: NbdErrno) => void): void {
    done(NbdErrno.ok);
  }
  flush(done: (errno: NbdErrno) => void): void {
    done(NbdErrno.ok);
  }
  async extents(): Promise<never> {
    throw Object.assign(new Error('no'), { code: 'EIO' });
  }
}
