// The hash file of a scanned disk: which content of it is known to be durable at the master target.
import path from 'node:path';
import { errnoOf, toHomewardError } from '../../core/errors.ts';
import type { Files } from '../../core/files/files.ts';
import type { Log } from '../../core/log.ts';
import {
  decodeHeader,
  decodePage,
  encodeHeader,
  encodePage,
  headerBytes,
  identityOf,
  isUnknown,
  pageBytes,
  pageChunks,
  pageCount,
  pagePosition,
  type HashHeader,
  type HashIdentity,
} from './hash-pages.ts';
import { chunkCount } from '../sync/chunk-hashes.ts';

export interface HashFileOptions {
  path: string;
  identity: HashIdentity;
  /** Of the disk, when there is no file of it yet. */
  size: number;
  files: Files;
  log: Log;
}

/**
 * Crash order of a batch: 1 what it is going to send is unknown in the file, durably (`forget`,
 * `settle`) · 2 its records are numbered, the new hashes put aside (`stage`) · 3 it is durable at the
 * master target · 4 the new hashes come into the file (`commit`). A crash before 4 leaves unknown what the
 * target may have got in part. A page that is torn or missing is unknown as a whole. After a call that
 * failed the file is not trusted any more: a new one takes its place, in which everything is unknown.
 */
export class HashFile {
  readonly #options: HashFileOptions;
  readonly #identity: number;
  #fd: number | null = null;
  #header: HashHeader;
  #staged: { fd: number; pages: Set<number> } | null = null;
  #broken = false;

  private constructor(options: HashFileOptions) {
    this.#options = options;
    this.#identity = identityOf(options.identity);
    this.#header = { size: options.size, scannedTime: null };
  }

  /** What it says is durable when this resolves. */
  static async open(options: HashFileOptions): Promise<HashFile> {
    const file = new HashFile(options);
    await file.#open();
    return file;
  }

  get size(): number {
    return this.#header.size;
  }
  get scannedTime(): number | null {
    return this.#header.scannedTime;
  }

  /** The hashes of a page, for the caller to change. */
  async page(page: number): Promise<Buffer> {
    const bytes = Buffer.alloc(pageBytes);
    const read = await this.#options.files.read(this.#opened(), bytes, pagePosition(page));
    return decodePage(bytes.subarray(0, read), this.#identity, page);
  }

  /** Whether the master target has the whole disk as some scan found it. */
  async isWhole(): Promise<boolean> {
    const chunks = chunkCount(this.size);
    for (let page = 0; page < pageCount(this.size); page += 1) {
      const hashes = await this.page(page);
      const count = Math.min(pageChunks, chunks - page * pageChunks);
      for (let chunk = 0; chunk < count; chunk += 1) if (isUnknown(hashes, chunk)) return false;
    }
    return true;
  }

  /** The disk has grown: its new part is unknown. Durable with the next `settle`. */
  grow(size: number): void {
    this.#header = { ...this.#header, size };
    this.#trust(() => this.#writeHeader());
  }

  /** Writes a page in which chunks have become unknown; durable with the next `settle`. */
  forget(page: number, hashes: Buffer): void {
    this.#trust(() => this.#writePage(this.#opened(), page, hashes));
  }

  /** What was forgotten so far is so durably. */
  async settle(): Promise<void> {
    try {
      await this.#options.files.sync(this.#opened());
    } catch (error) {
      throw this.#failed(error);
    }
  }

  /** Puts the hashes of a page aside that are right once the batch is durable at the master target. */
  stage(page: number, hashes: Buffer): void {
    const { files } = this.#options;
    if (this.#staged === null) {
      this.#unlinkStaged();
      this.#staged = { fd: files.create(this.#stagedPath), pages: new Set() };
    }
    this.#writePage(this.#staged.fd, page, hashes);
    this.#staged.pages.add(page);
  }

  /** The batch will not be durable, or nobody will know: what it sent stays unknown. */
  unstage(): void {
    const staged = this.#staged;
    if (staged === null) return;
    this.#staged = null;
    this.#options.files.close(staged.fd);
    this.#unlinkStaged();
  }

  /** The batch of the scan that began at `time` is durable at the master target. */
  async commit(time: number): Promise<void> {
    const { files } = this.#options;
    const staged = this.#staged;
    try {
      for (const page of staged?.pages ?? []) {
        const bytes = Buffer.alloc(pageBytes);
        const read = await files.read(staged?.fd ?? -1, bytes, pagePosition(page));
        this.#writePage(this.#opened(), page, decodePage(bytes.subarray(0, read), this.#identity, page));
      }
      this.#header = { ...this.#header, scannedTime: time };
      this.#writeHeader();
      await files.sync(this.#opened());
    } catch (error) {
      throw this.#failed(error);
    } finally {
      this.unstage();
    }
  }

  /** A new file after one that failed; nothing for one that is sound. */
  async mend(): Promise<void> {
    if (this.#broken) await this.reset();
  }

  /**
   * Everything is unknown, durably. Crash order: 1 the old file goes · 2 a new one, synced · 3 directory
   * synced.
   */
  async reset(): Promise<void> {
    const { files, path: file } = this.#options;
    this.close();
    this.#broken = true;
    unlinkIfThere(files, file);
    this.#fd = files.create(file);
    this.#header = { ...this.#header, scannedTime: null };
    this.#writeHeader();
    await files.sync(this.#opened());
    await files.syncDirectory(path.dirname(file));
    this.#broken = false;
  }

  close(): void {
    this.unstage();
    if (this.#fd !== null) this.#options.files.close(this.#fd);
    this.#fd = null;
  }

  async #open(): Promise<void> {
    const { files, path: file, identity, log } = this.#options;
    this.#unlinkStaged();
    try {
      this.#fd = files.open(file);
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
      return this.reset();
    }
    const bytes = Buffer.alloc(headerBytes);
    const read = await files.read(this.#fd, bytes, 0);
    const header = decodeHeader(bytes.subarray(0, read), identity);
    if (header === null) {
      log.warn('hash-file-damaged', { disk: identity.disk, file });
      return this.reset();
    }
    this.#header = header;
    // What was read may be in the page cache alone; what was forgotten there has to stay so.
    await files.sync(this.#fd);
  }

  #opened(): number {
    return this.#fd ?? -1;
  }
  get #stagedPath(): string {
    return `${this.#options.path}.new`;
  }

  #unlinkStaged(): void {
    unlinkIfThere(this.#options.files, this.#stagedPath);
  }

  #writeHeader(): void {
    const { files, identity } = this.#options;
    files.write(this.#opened(), [encodeHeader(identity, this.#header)], 0);
  }

  #writePage(fd: number, page: number, hashes: Buffer): void {
    this.#options.files.write(fd, [encodePage(this.#identity, page, hashes)], pagePosition(page));
  }

  #trust(write: () => void): void {
    try {
      write();
    } catch (error) {
      throw this.#failed(error);
    }
  }

  #failed(error: unknown): Error {
    const { log, identity, path: file } = this.#options;
    this.#broken = true;
    log.error('hash-file-failed', { disk: identity.disk, file, error: toHomewardError(error) });
    return toHomewardError(error);
  }
}

function unlinkIfThere(files: Files, file: string): void {
  if (files.list(path.dirname(file)).includes(path.basename(file))) files.unlink(file);
}
