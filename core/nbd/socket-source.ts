// Brings a socket's bytes to where the sink wants them, without copies where Node allows it.
import { Socket } from 'node:net';

export interface Sink {
  /** `count` bytes are in the place given last; returns the next place, or null to pause. */
  landed(count: number): Buffer | null;
}

export interface Source {
  /** Goes on after a pause. */
  resume(place: Buffer): void;
  /** The place given last is taken back and this one given instead. Not called during `landed` or a pause. */
  move(place: Buffer): void;
  /** Delivers nothing more. */
  stop(): void;
}

/** Hands bytes that are already somewhere to a sink, and keeps what a paused sink has not taken. */
class Copier {
  readonly #sink: Sink;
  #place: Buffer | null;
  #rest: Uint8Array | null = null;

  constructor(sink: Sink, place: Buffer | null) {
    this.#sink = sink;
    this.#place = place;
  }

  move(place: Buffer): void {
    this.#place = place;
  }

  /** The place that the sink wants next, or null when it paused. The bytes are copied before this returns. */
  push(bytes: Uint8Array): Buffer | null {
    let from = 0;
    while (from < bytes.length && this.#place !== null) {
      const part = bytes.subarray(from, from + this.#place.length);
      this.#place.set(part);
      from += part.length;
      this.#place = this.#sink.landed(part.length);
    }
    if (from < bytes.length) this.#rest = Uint8Array.prototype.slice.call(bytes, from);
    return this.#place;
  }

  resume(place: Buffer): Buffer | null {
    this.#place = place;
    const rest = this.#rest;
    this.#rest = null;
    return rest === null ? place : this.push(rest);
  }
}

/** The parts of Node's stream handles that `net.Socket` itself uses with its `onread` option. */
interface Handle {
  useUserBuffer(buffer: Uint8Array): void;
}

/** `net.Socket` adopts a handle when given one; the public types do not say so. */
const socketOptions = (handle: Handle, onread: object): ConstructorParameters<typeof Socket>[0] =>
  ({ handle, onread, allowHalfOpen: true }) as unknown as ConstructorParameters<typeof Socket>[0];

/**
 * Takes over the handle of a socket that was accepted with `pauseOnConnect` and reads straight into the
 * sink's places.
 *
 * Why: 'data' events bring at most 64 KiB at a time, each in memory allocated for it, and a payload would
 * have to be copied out of it; that costs half the throughput of large writes. Node's `onread` option asks
 * for a buffer before each read, but only for sockets that one makes oneself: hence a second Socket on the
 * first one's handle.
 *
 * Node asks for the next buffer right after a read, also when the sink pauses and has none. Then it gets a
 * small spare one; the first read after the pause lands there and is copied.
 */
export function directSource(
  accepted: Socket,
  sink: Sink,
  first: Buffer,
): { socket: Socket; source: Source } {
  const owner = accepted as unknown as { _handle: Handle | null };
  const handle = owner._handle;
  if (handle === null) throw new Error('the socket was closed before it was taken over');
  owner._handle = null;

  let spare: Buffer | null = null;
  let usesSpare = false;
  let stopped = false;
  let next: Buffer | null = first;
  const copier = new Copier(sink, null);

  const socket = new Socket(
    socketOptions(handle, {
      buffer: () => {
        usesSpare = next === null;
        return next ?? (spare ??= Buffer.alloc(512));
      },
      callback: (count: number) => {
        if (stopped) return false;
        next = usesSpare && spare !== null ? copier.push(spare.subarray(0, count)) : sink.landed(count);
        return next !== null;
      },
    }),
  );
  // Frees the server's count of its connections; the handle is no longer its own.
  socket.once('close', () => accepted.destroy());

  return {
    socket,
    source: {
      resume(place) {
        next = copier.resume(place);
        if (next !== null && !stopped) socket.resume();
      },
      move(place) {
        next = place;
        if (usesSpare) copier.move(place);
        else handle.useUserBuffer(place);
      },
      stop() {
        stopped = true;
        socket.pause();
      },
    },
  };
}

/** Copies 'data' events into the sink's places: for TLS, whose plain text comes in buffers of its own. */
export function copyingSource(socket: Socket, sink: Sink, first: Buffer): Source {
  const copier = new Copier(sink, first);
  const onData = (bytes: Buffer): void => {
    if (copier.push(bytes) === null) socket.pause();
  };
  socket.on('data', onData);
  return {
    resume(place) {
      if (copier.resume(place) !== null) socket.resume();
    },
    move: (place) => copier.move(place),
    stop() {
      socket.off('data', onData);
      socket.pause();
    },
  };
}
