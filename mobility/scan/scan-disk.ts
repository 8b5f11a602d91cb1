// A scanned disk: opened for reading for each scan, compared by hashes with what the master target has.
import { openFileStore, type FileStore } from '../../core/block/file-store.ts';
import { BlockMap } from '../../core/block/block-map.ts';
import { hashBytes, hashedChunkBytes } from '../../core/chain/messages.ts';
import { errnoOf, HomewardError } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import { formatSize } from '../../core/units.ts';
import { chunkCount, hashChunks, zeroHashes } from '../sync/chunk-hashes.ts';
import type { HashFile } from './hash-file.ts';
import { hashAt, isUnknown, pageChunks, pageCount, pageDiskBytes, unknownHash } from './hash-pages.ts';

export interface ScanPath {
  name: string;
  /** Absolute. */
  path: string;
}

/** Resolves when reading may go on; called after each piece, with how long that took. */
export type Rest = (tookMs: number) => Promise<void>;

/** Chunks that a batch has to deal with. */
export interface Todo {
  /** They differ, or nobody knows. */
  wanted: BlockMap;
  /** Of these nobody knew before. */
  unknown: BlockMap;
}

export class ScanDisk implements ScanPath {
  readonly name: string;
  readonly path: string;
  /** In the order of the machine's disks. */
  readonly index: number;
  readonly hashes: HashFile;
  /** As the machine has it; what a scan finds larger is larger from then on. */
  size: number;
  /** Why the last scan could not take it, or null. */
  problem: HomewardError | null = null;
  #store: FileStore | null = null;
  readonly #buffer = Buffer.allocUnsafeSlow(limits.syncPieceBytes);

  constructor({ name, path, index, size, hashes }: ScanPath & Pick<ScanDisk, 'index' | 'size' | 'hashes'>) {
    this.name = name;
    this.path = path;
    this.index = index;
    this.size = size;
    this.hashes = hashes;
  }

  get isOpen(): boolean {
    return this.#store !== null;
  }
  get store(): FileStore {
    if (this.#store === null) throw new HomewardError('bug', `${this.path} is not open`);
    return this.#store;
  }

  /** Opens it for one scan, at its present size; that is 'machine-differs' when it is smaller than before. */
  async open(): Promise<void> {
    await this.close();
    const store = openScanned(this.name, this.path);
    this.#store = store;
    if (store.size < this.size) throw smaller(this, store.size);
    await this.hashes.mend();
    if (store.size > this.hashes.size) this.hashes.grow(store.size);
    this.size = store.size;
  }

  async close(): Promise<void> {
    const store = this.#store;
    this.#store = null;
    await store?.close();
  }

  /**
   * Reads all of it, but for what has to be sent anyhow, and finds what differs from what the master
   * target has. Durably unknown in the hash file when this resolves: the batch may send it.
   */
  async compare(rest: Rest, onBytes: (bytes: number) => void, signal: AbortSignal): Promise<Todo> {
    const todo = { wanted: new BlockMap(), unknown: new BlockMap() };
    for (let page = 0; page < pageCount(this.size); page += 1) {
      const start = page * pageDiskBytes;
      const end = Math.min(start + pageDiskBytes, this.size);
      const known = await this.hashes.page(page);
      const found = isAllUnknown(known) ? null : await this.hash(start, end, rest, signal);
      if (markDifferent(todo, page, chunkCount(end - start), known, found)) this.hashes.forget(page, known);
      onBytes(end - start);
      signal.throwIfAborted();
    }
    await this.hashes.settle();
    return todo;
  }

  /** Hashes of [start, end); what the file system knows to be zeros is not read. */
  async hash(start: number, end: number, rest: Rest, signal: AbortSignal): Promise<Buffer> {
    const hashes: Buffer[] = [];
    for (let at = start; at < end; at += this.#buffer.length) {
      signal.throwIfAborted();
      const length = Math.min(this.#buffer.length, end - at);
      const began = performance.now();
      hashes.push(await this.#hashPiece(at, length));
      await rest(performance.now() - began);
    }
    return Buffer.concat(hashes);
  }

  async #hashPiece(at: number, length: number): Promise<Buffer> {
    const extents = await this.store.extents(at, length);
    if (extents.every(({ zero }) => zero)) return zeroHashes(length);
    const piece = this.#buffer.subarray(0, length);
    await this.store.read(piece, at);
    return hashChunks(piece);
  }
}

/**
 * Opens a file or device for reading. Throws 'no-such-file', 'tool-failed' or
 * 'bad-disk-size'.
 */
export function openScanned(name: string, file: string): FileStore {
  const what = `${file}, disk ${name},`;
  let store: FileStore;
  try {
    store = openFileStore(file, { readOnly: true });
  } catch (error) {
    const cause = { cause: error };
    if (errnoOf(error) === 'ENOENT') throw new HomewardError('no-such-file', `${what} does not exist`, cause);
    throw new HomewardError('tool-failed', `${what} cannot be opened (${errnoOf(error) ?? 'unknown'})`, {
      ...cause,
      hint: 'The mobility service has to be allowed to read it.',
    });
  }
  const { size } = store;
  if (size > 0 && size % limits.diskSectorBytes === 0 && size <= limits.diskBytes) return store;
  void store.close();
  throw new HomewardError('bad-disk-size', `${what} has ${size} bytes`);
}

/** Notes what differs in a page, and makes that unknown in `known`; true when that changed it. */
function markDifferent(
  todo: Todo,
  page: number,
  count: number,
  known: Buffer,
  found: Buffer | null,
): boolean {
  let changed = false;
  for (let chunk = 0; chunk < count; chunk += 1) {
    const at = page * pageChunks + chunk;
    if (isUnknown(known, chunk)) todo.unknown.mark(at, at + 1);
    else if (found === null || hashAt(known, chunk).equals(hashAt(found, chunk))) continue;
    else {
      unknownHash.copy(known, chunk * hashBytes);
      changed = true;
    }
    todo.wanted.mark(at, at + 1);
  }
  return changed;
}

const isAllUnknown = (hashes: Buffer): boolean => hashes.every((byte) => byte === 0);

/** Bytes of marked chunks, the last of a disk counted in full. */
export const markedBytes = (chunks: BlockMap): number => chunks.count * hashedChunkBytes;

function smaller({ name, size }: ScanDisk, found: number): HomewardError {
  const spell = (bytes: number): string => `${formatSize(bytes)} (${bytes} bytes)`;
  const message = `disk ${name} has ${spell(found)}; it had ${spell(size)}`;
  return new HomewardError('machine-differs', message, {
    hint: 'Check the path; a disk that was made smaller is protected as a new machine.',
  });
}
