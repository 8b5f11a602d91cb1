// The file system seam of the journal: the few calls it makes, so that a test can put a failing or
// simulated disk under it.

/** Paths are absolute. Failures are the errors of node:fs, with `code` set (`ENOSPC`, `EIO`, …). */
export interface Files {
  /** Opens for reading and writing; `create` fails when the file exists, `open` when it does not. */
  create(path: string): number;
  open(path: string): number;
  close(fd: number): void;
  size(fd: number): number;
  /** Allocates [0, bytes) of the file on disk and makes that its size. */
  allocate(fd: number, bytes: number): void;
  /** Writes all buffers at `position`, in the page cache when it returns. */
  write(fd: number, buffers: readonly Uint8Array[], position: number): void;
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
