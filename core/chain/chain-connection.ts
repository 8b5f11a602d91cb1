// One stream of the chain behind its upgrade: frames out and in over a socket, with back-pressure both ways.
import type { Duplex } from 'node:stream';
import { assert, HomewardError, toHomewardError } from '../errors.ts';
import { limits } from '../limits.ts';
import type { Log } from '../log.ts';
import { readU64, writeU64 } from '../record/record.ts';
import { decompress } from './compression.ts';
import { ackBytes, broken, FrameType, type Frame } from './frame.ts';
import { FrameReader } from './frame-reader.ts';
import { FrameSender } from './frame-sender.ts';
import type { Ack, Head, Hello, Note, Relay, Welcome } from './messages.ts';
import {
  headSchema,
  helloSchema,
  noteSchema,
  parseBody,
  parseError,
  relaySchema,
  welcomeSchema,
} from './schemas.ts';

/**
 * Who hears what arrives. Each JSON body has been checked to be what its type says. What one of these
 * throws ends the connection: the peer is told, and `closed` hears it.
 */
export interface ChainListener {
  hello?(hello: Hello): void;
  welcome?(welcome: Welcome): void;
  /**
   * Whole records, uncompressed, checked by nobody yet. The buffer is the listener's to keep. Call `pause`
   * to get no more for now.
   */
  records?(body: Buffer): void;
  ack?(ack: Ack): void;
  head?(head: Head): void;
  relay?(relay: Relay): void;
  note?(note: Note): void;
  /** What was sent has drained: `sendRecords` may go on. */
  drained?(): void;
  /**
   * Called once, last: null when this side closed, else why it ended ('chain-broken', or the peer's error).
   */
  closed(error: HomewardError | null): void;
}

export interface ChainConnectionOptions {
  socket: Duplex;
  /** What arrived behind the upgrade already. */
  first: Buffer;
  listener: ChainListener;
  log: Log;
  /** Dead after this long without a frame; `limits.chainSilenceMs` when left out. */
  silenceMs?: number;
}

/** Frames arrive in order; nothing is called after `closed`. */
export class ChainConnection {
  /** Whether `sendRecords` compresses what is worth it; set after hello and welcome agreed. */
  compress = false;
  readonly #socket: Duplex;
  readonly #listener: ChainListener;
  readonly #log: Log;
  readonly #reader = new FrameReader();
  readonly #sender: FrameSender;
  readonly #silence: NodeJS.Timeout;
  #mustDrain = false;
  #paused = false;
  /** A frame is being handed over, or decompressed: the next waits. */
  #delivering = false;
  #decompressing = false;
  /** A frame that has been decompressed and not been handed over. */
  #unpacked: Frame | null = null;
  #peerEnded = false;
  /** What `closed` will hear; undefined while the connection stands. */
  #reason: HomewardError | null | undefined;

  constructor({ socket, first, listener, log, silenceMs = limits.chainSilenceMs }: ChainConnectionOptions) {
    this.#socket = socket;
    this.#listener = listener;
    this.#log = log;
    this.#sender = new FrameSender(socket, () => this.#sent());
    this.#silence = setTimeout(() => this.#silent(silenceMs), silenceMs).unref();
    this.#reader.add(first);
    socket.on('data', (chunk: Buffer) => this.#received(chunk));
    socket.on('end', () => this.#ended());
    socket.on('error', (error) => this.#break(broken(`the connection failed: ${error.message}`, error)));
    socket.on('close', () => this.#closed());
    // What came with the upgrade is handed over after the caller has this object.
    setImmediate(() => this.#goOn());
  }

  sendHello(hello: Hello): void {
    this.#sendJson(FrameType.hello, hello);
  }
  sendWelcome(welcome: Welcome): void {
    this.#sendJson(FrameType.welcome, welcome);
  }
  /**
   * Runs of whole records, at most 4 MiB unless one record is larger. False: wait for `drained`. The
   * buffers stay as they are until then.
   */
  sendRecords(parts: readonly Buffer[]): boolean {
    this.#sender.send(FrameType.records, parts, this.compress);
    this.#mustDrain = this.#sender.unsentBytes > limits.chainUnsentBytes;
    return !this.#mustDrain;
  }
  sendAck(ack: Ack): void {
    const body = Buffer.allocUnsafe(ackBytes);
    writeU64(body, 0, ack.spooled);
    writeU64(body, 8, ack.target);
    writeU64(body, 16, ack.applied);
    this.#sender.send(FrameType.ack, [body]);
  }
  sendHead(head: Head): void {
    this.#sendJson(FrameType.head, head);
  }
  sendRelay(relay: Relay): void {
    this.#sendJson(FrameType.relay, relay);
  }
  sendNote(note: Note): void {
    this.#sendJson(FrameType.note, note);
  }

  /** Bytes handed to the socket that it has not sent yet. */
  get unsentBytes(): number {
    return this.#sender.unsentBytes;
  }

  /** Stops and resumes reading: the peer is held back by the network. Silence does not count meanwhile. */
  pause(): void {
    this.#paused = true;
    this.#socket.pause();
  }
  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#goOn();
  }

  /** Sends an error frame and ends; `closed` hears null then. */
  fail(error: HomewardError): void {
    this.#end(null, error);
  }
  /** Ends after what has been sent. */
  close(): void {
    this.#end(null, null);
  }
  /** Ends now. */
  destroy(): void {
    if (this.#reason === undefined) this.#reason = null;
    this.#socket.destroy();
  }

  #sendJson(type: FrameType, value: unknown): void {
    this.#sender.send(type, [Buffer.from(JSON.stringify(value), 'utf8')]);
  }

  #sent(): void {
    if (!this.#mustDrain || this.#reason !== undefined) return;
    if (this.#sender.unsentBytes > limits.chainUnsentBytes / 2) return;
    this.#mustDrain = false;
    this.#hand(() => this.#listener.drained?.());
  }

  #received(chunk: Buffer): void {
    if (this.#reason !== undefined) return; // this side has ended: what still comes is read away
    this.#silence.refresh();
    this.#reader.add(chunk);
    this.#goOn();
  }

  /** Hands over what is there, then reads on. */
  #goOn(): void {
    if (this.#delivering) return;
    this.#delivering = true;
    while (this.#isOpen()) {
      const frame = this.#next();
      if (frame === null) break;
      this.#take(frame);
    }
    this.#delivering = false;
    if (!this.#isOpen()) return;
    if (this.#peerEnded) return this.#break(broken('the other side ended the connection'));
    if (!this.#socket.isPaused()) return;
    this.#silence.refresh();
    this.#socket.resume();
  }

  #isOpen(): boolean {
    return this.#reason === undefined && !this.#paused && !this.#decompressing;
  }

  #next(): Frame | null {
    const unpacked = this.#unpacked;
    this.#unpacked = null;
    try {
      return unpacked ?? this.#reader.next();
    } catch (error) {
      this.#refuse(error);
      return null;
    }
  }

  #take(frame: Frame): void {
    if (!frame.compressed) return this.#hand(() => this.#deliver(frame, frame.body));
    let raw: Buffer | Promise<Buffer>;
    try {
      raw = decompress(frame.body, frame.rawBytes);
    } catch (error) {
      return this.#refuse(error);
    }
    if (raw instanceof Promise) this.#takeLater(frame, raw);
    else this.#hand(() => this.#deliver(frame, raw));
  }

  #takeLater(frame: Frame, raw: Promise<Buffer>): void {
    this.#decompressing = true;
    this.#socket.pause();
    raw.then(
      (body) => {
        this.#decompressing = false;
        this.#unpacked = { ...frame, compressed: false, body };
        this.#goOn();
      },
      (error: unknown) => {
        this.#decompressing = false;
        this.#refuse(error);
      },
    );
  }

  #deliver({ type }: Frame, body: Buffer): void {
    const listener = this.#listener;
    if (type === FrameType.records) listener.records?.(body);
    else if (type === FrameType.ack) listener.ack?.(parseAck(body));
    else if (type === FrameType.head) listener.head?.(parseBody(headSchema, body, 'head'));
    else if (type === FrameType.relay) listener.relay?.(parseBody(relaySchema, body, 'relay'));
    else if (type === FrameType.note) listener.note?.(parseBody(noteSchema, body, 'note'));
    else if (type === FrameType.hello) listener.hello?.(parseBody(helloSchema, body, 'hello'));
    else if (type === FrameType.welcome) listener.welcome?.(parseBody(welcomeSchema, body, 'welcome'));
    else this.#end(parseError(body), null);
  }

  #hand(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#refuse(error);
    }
  }

  /** What arrived cannot be taken: the peer hears why. */
  #refuse(error: unknown): void {
    if (!(error instanceof HomewardError))
      this.#log.error('chain-listener-failed', { error: toHomewardError(error) });
    const reason = toHomewardError(error);
    this.#end(reason, reason);
  }

  #silent(ms: number): void {
    if (this.#paused || this.#decompressing) {
      this.#silence.refresh();
      return;
    }
    this.#break(broken(`nothing was heard for ${ms / 1000} s`));
  }

  #ended(): void {
    this.#peerEnded = true;
    if (this.#reason !== undefined) return;
    this.#goOn();
  }

  /** Ends behind what has been sent, and an error frame where there is something to say. */
  #end(reason: HomewardError | null, say: HomewardError | null): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    if (say !== null) this.#sendJson(FrameType.error, say);
    this.#sender.end();
    this.#socket.resume(); // its end is seen only by who reads
    setTimeout(() => this.#socket.destroy(), limits.chainCloseMs).unref();
  }

  #break(reason: HomewardError): void {
    if (this.#reason === undefined) this.#reason = reason;
    this.#socket.destroy();
  }

  #closed(): void {
    clearTimeout(this.#silence);
    if (this.#reason === undefined) this.#reason = broken('the connection was closed');
    try {
      this.#listener.closed(this.#reason);
    } catch (error) {
      this.#log.error('chain-listener-failed', { error: toHomewardError(error) });
    }
  }
}

function parseAck(body: Buffer): Ack {
  assert(body.length === ackBytes, 'the length of an ack was checked');
  const ack = { spooled: readU64(body, 0), target: readU64(body, 8), applied: readU64(body, 16) };
  if (ack.spooled < 0 || ack.target < 0 || ack.applied < 0) throw broken('an ack has a number that is none');
  return ack;
}
