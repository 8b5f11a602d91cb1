// The file system seam of the journal and its replicas: the few calls they make, so that a test can put a
// failing or simulated disk under them.

/** Paths are absolute. Failures are the errors of node:fs, with `code` set (`ENOSPC`, `EIO`, …). */
export interface Files {
  /**
   * Opens for reading and writing, on a read-only volume for reading; `create` fails when the file exists,
   * `open` when it does not.
   */
  create(path: string): number;
  open(path: string): number;
  close(fd: number): void;
  size(fd: number): number;
  /** Allocates [0, bytes) of the file on disk and makes that its size. */
  allocate(fd: number, bytes: number): void;
  /** Writes all buffers at `position`, in the page cache when it returns. */
  write(fd: number, buffers: readonly Uint8Array[], position: number): void;
  /**
   * Makes [offset, offset + length), which lies within the file or device, read as zeros: a hole where that
   * can be, else zeros are written. In the page cache when it resolves, as a write is.
   */
  zero(fd: number, offset: number, length: number): Promise<void>;
  /** The first byte at or after `offset` that lies in data; null when only a hole follows. */
  nextData(fd: number, offset: number): number | null;
  /**
   * The first byte at or after `offset` that lies in a hole, and the end counts as one; null beyond the end.
   * A block device is all data.
   */
  nextHole(fd: number, offset: number): number | null;
  /** Reads up to `target.length` bytes, fewer only at the end of the file; returns how many. */
  readSync(fd: number, target: Uint8Array, position: number): number;
  read(fd: number, target: Uint8Array, position: number): Promise<number>;
  /** fdatasync: content and size are on stable storage when it resolves. */
  sync(fd: number): Promise<void>;
  syncDirectory(path: string): Promise<void>;
  rename(from: string, to: string): void;
  unlink(path: string): void;
  ensureDirectory(path: string): void;
  list(directory: string): string[];
  /** Bytes that may still be allocated on the volume that the directory lies on. */
  freeBytes(directory: string): number;
}
