// What the NBD server needs of a thing it serves: a name, a size, and requests answered by callback.
import type { BlockExtent } from '../block/block-store.ts';

/** Errors that NBD has a number for; anything else goes out as EIO. */
export const NbdErrno = {
  ok: 0,
  EPERM: 1,
  EIO: 5,
  ENOMEM: 12,
  EINVAL: 22,
  ENOSPC: 28,
  EOVERFLOW: 75,
  ENOTSUP: 95,
  ESHUTDOWN: 108,
} as const;
export type NbdErrno = (typeof NbdErrno)[keyof typeof NbdErrno];

/** Called exactly once for a request. */
export type Done = (errno: NbdErrno) => void;

/**
 * A received payload lies in a buffer that the server reuses. Whoever needs the bytes after `done` was called
 * keeps the buffer by `retain()` before, and gives it back with one `release()` for each `retain()`.
 */
export interface ReceiveBuffer {
  retain(): void;
  release(): void;
}

/**
 * One named disk offered over NBD. Requests are validated (range, alignment, read-only) before they arrive
 * here.
 */
export interface NbdExport {
  readonly name: string;
  readonly description: string;
  /** Bytes. */
  readonly size: number;
  readonly readOnly: boolean;
  /** A flush on one connection covers the completed writes of all. */
  readonly multiConnection: boolean;
  /** Fills `target`. */
  read(target: Buffer, offset: number, done: Done): void;
  write(payload: Buffer, offset: number, fua: boolean, buffer: ReceiveBuffer, done: Done): void;
  /** `discard` is TRIM; otherwise WRITE_ZEROES. `punch` is false when the client sent NO_HOLE. */
  zero(
    offset: number,
    length: number,
    options: { discard: boolean; punch: boolean; fua: boolean },
    done: Done,
  ): void;
  flush(done: Done): void;
  extents(offset: number, length: number): Promise<BlockExtent[]>;
}

/** Where a server looks up what it serves; names are UTF-8, '' is the default export. */
export interface NbdExports {
  list(): { name: string; description: string }[];
  find(name: string): NbdExport | null;
}
