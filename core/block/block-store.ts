// The storage seam: what every disk-like thing (file, device, memory, view) and every wrapper looks like.

/** One piece of an answer to `extents`: `length` bytes that are data, or that read as zeros. */
export interface BlockExtent {
  length: number;
  /** No storage behind it. */
  hole: boolean;
  /** Reads as zeros. */
  zero: boolean;
}

/**
 * A disk. Offsets and lengths are bytes at any alignment; a call outside [0, size) is a bug of the caller
 * (RangeError).
 * Rejections carry an errno in `code` (`EIO`, `ENOSPC`, …) so that the NBD server can pass it on.
 */
export interface BlockStore {
  /** Bytes. */
  readonly size: number;
  /** Fills `target` from `offset`. */
  read(target: Uint8Array, offset: number): Promise<void>;
  write(source: Uint8Array, offset: number): Promise<void>;
  /** Makes [offset, offset + length) read as zeros; `punch` allows a hole. */
  zero(offset: number, length: number, options?: { punch?: boolean }): Promise<void>;
  /** Every write completed before the call is durable when it resolves. */
  flush(): Promise<void>;
  /**
   * What lies in [offset, offset + length), pieces in order without overlap; a store without knowledge says
   * data.
   */
  extents(offset: number, length: number): Promise<BlockExtent[]>;
  close(): Promise<void>;
}
