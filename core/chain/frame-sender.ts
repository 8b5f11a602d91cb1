// Sends frames in order over a socket, large compressed ones beside the event loop.
import type { Duplex } from 'node:stream';
import { assert } from '../errors.ts';
import { compress, isWorthCompressing } from './compression.ts';
import { encodeFrameHeader, frameHeaderBytes, mostBytes, type FrameType } from './frame.ts';

/** Bodies below this go out together with their header. */
const corkBytes = 128 * 1024;

/** A frame that waits for its compression, or for that of one before it. */
interface Waiting {
  type: FrameType;
  parts: readonly Buffer[];
  rawBytes: number;
  compressed: boolean;
  ready: boolean;
}

/** Invariant: frames go out in the order in which they were given. */
export class FrameSender {
  readonly #socket: Duplex;
  readonly #sent: () => void;
  #waiting: Waiting[] = [];
  #unsentBytes = 0;
  #ending = false;

  /** `sent` is called whenever `unsentBytes` has become less. */
  constructor(socket: Duplex, sent: () => void) {
    this.#socket = socket;
    this.#sent = sent;
  }

  /** Bytes given that the socket has not sent yet. */
  get unsentBytes(): number {
    return this.#unsentBytes;
  }

  send(type: FrameType, parts: readonly Buffer[], mayCompress = false): void {
    if (this.#ending) return;
    const rawBytes = parts.reduce((sum, part) => sum + part.length, 0);
    assert(rawBytes <= mostBytes(type), 'a frame is not larger than it may be');
    const frame: Waiting = { type, parts, rawBytes, compressed: false, ready: true };
    this.#unsentBytes += frameHeaderBytes + rawBytes;
    if (mayCompress && isWorthCompressing(parts)) this.#compress(frame);
    if (frame.ready && this.#waiting.length === 0) return this.#write(frame);
    this.#waiting.push(frame);
  }

  /** Ends the socket behind what has been given; nothing is taken any more. */
  end(): void {
    this.#ending = true;
    this.#flush();
  }

  #compress(frame: Waiting): void {
    const [first] = frame.parts;
    const body = frame.parts.length === 1 && first !== undefined ? first : Buffer.concat(frame.parts);
    const packed = compress(body);
    if (!(packed instanceof Promise)) return use(frame, packed);
    frame.ready = false;
    void packed.then((buffer) => {
      use(frame, buffer);
      frame.ready = true;
      this.#flush();
    });
  }

  #flush(): void {
    while (this.#waiting[0]?.ready === true) {
      const frame = this.#waiting.shift();
      if (frame !== undefined) this.#write(frame);
    }
    if (this.#ending && this.#waiting.length === 0) this.#socket.end();
  }

  #write({ type, parts, rawBytes, compressed }: Waiting): void {
    if (this.#socket.destroyed || this.#socket.writableEnded) return;
    const header = Buffer.allocUnsafe(frameHeaderBytes);
    const bodyBytes = parts.reduce((sum, part) => sum + part.length, 0);
    encodeFrameHeader(header, { type, compressed, bodyBytes, rawBytes });
    const last = parts.at(-1) ?? header;
    // TLS puts what is corked together by copying: worth it for what is small.
    const corked = bodyBytes < corkBytes;
    if (corked) this.#socket.cork();
    if (last !== header) this.#socket.write(header);
    for (const part of parts.slice(0, -1)) this.#socket.write(part);
    this.#socket.write(last, () => {
      this.#unsentBytes -= frameHeaderBytes + rawBytes;
      this.#sent();
    });
    if (corked) this.#socket.uncork();
  }
}

function use(frame: Waiting, packed: Buffer | null): void {
  if (packed === null) return;
  frame.parts = [packed];
  frame.compressed = true;
}
