// A file system in memory that remembers what is durable, can lose power or be killed, run full and fail on
// demand.
import path from 'node:path';
import { checkRange } from '../../core/block/check-range.ts';
import { FaultPlan } from '../../core/fault-plan.ts';
import { systemError } from '../../core/system-error.ts';
import type { Files } from '../../core/files/files.ts';
import { seededRandom } from './random.ts';
import { SimulatedFile, type CrashMode } from './simulated-file.ts';
import { SimulatedDirectory, SimulatedTree, type SimulatedNode } from './simulated-tree.ts';

export type { CrashMode } from './simulated-file.ts';
export type FileCall = Exclude<keyof Files, 'close' | 'size' | 'list' | 'freeBytes'>;

/**
 * Thrown by an `onCall` hook: the process ends here. Of a write, this part (0 to 1) still reaches the page
 * cache.
 */
export class SimulatedCrash extends Error {
  readonly writtenPart: number;

  constructor(writtenPart = 0) {
    super('the simulated process ends here');
    this.name = 'SimulatedCrash';
    this.writtenPart = writtenPart;
  }
}

export interface SimulatedFilesOptions {
  /** Directories that are there, durably, to begin with. */
  directories?: readonly string[];
  /** Space for the content of all files together, in blocks of 4 KiB; unbounded when left out. */
  capacityBytes?: number;
}

const blockBytes = 4096;

export class SimulatedFiles implements Files {
  /** I/O calls so far; a hook sees the number of its own call, from 1. */
  calls = 0;
  /** Which calls fail on demand: `faults.failAt(3, 'EIO', ['write'])`. */
  readonly faults = new FaultPlan<FileCall>();
  /** Called before each I/O call takes effect; whatever it throws is what the call throws. */
  onCall: ((name: FileCall, n: number) => void) | null = null;
  capacityBytes: number;
  private readonly tree: SimulatedTree;
  private readonly descriptors = new Map<number, SimulatedFile>();
  private nextDescriptor = 1000;
  private usedBlocks = 0;
  private ended = false;

  constructor(options: SimulatedFilesOptions = {}, tree = new SimulatedTree()) {
    this.capacityBytes = options.capacityBytes ?? Infinity;
    this.tree = tree;
    for (const directory of options.directories ?? []) this.makeDirectories(directory, true);
    for (const file of filesBelow(tree.root)) this.refer(file);
  }

  /**
   * What is on disk after a power cut at this moment. The same seed gives the same; this one stays as it is.
   */
  crash({ seed = 1, mode = 'mixed' as CrashMode } = {}): SimulatedFiles {
    return this.next(this.tree.afterCrash(seededRandom(seed), mode));
  }

  /**
   * What a process finds that starts after this one was killed: all that was written. This one fails from now
   * on.
   */
  kill(): SimulatedFiles {
    this.ended = true;
    return this.next(this.tree.afterKill());
  }

  create(file: string): number {
    this.begin('create');
    const { directory, name } = this.parent('open', file);
    if (directory.entries.has(name)) throw systemError('EEXIST', 'open', file);
    if (this.usedBlocks * blockBytes >= this.capacityBytes) throw systemError('ENOSPC', 'open', file);
    const node = new SimulatedFile();
    this.refer(node);
    this.tree.change([{ directory, name, node }]);
    return this.describe(node);
  }

  open(file: string): number {
    this.begin('open');
    const node = this.find('open', file);
    if (node instanceof SimulatedDirectory) throw systemError('EISDIR', 'open', file);
    return this.describe(node);
  }

  close(fd: number): void {
    const file = this.described('close', fd);
    this.descriptors.delete(fd);
    this.unrefer(file);
  }

  size(fd: number): number {
    return this.described('fstat', fd).size;
  }

  allocate(fd: number, bytes: number): void {
    this.begin('allocate');
    const file = this.described('fallocate', fd);
    if (this.room(file) < bytes) throw systemError('ENOSPC', 'fallocate');
    this.resizing(file, () => file.resize(bytes));
  }

  write(fd: number, buffers: readonly Uint8Array[], position: number): void {
    this.writeAs('write', fd, Buffer.concat(buffers), position);
  }

  async zero(fd: number, offset: number, length: number): Promise<void> {
    checkRange(this.described('fallocate', fd).size, offset, length);
    this.writeAs('zero', fd, Buffer.alloc(length), offset);
    await nextTurn();
  }

  nextData(fd: number, offset: number): number | null {
    this.begin('nextData');
    return this.described('lseek', fd).nextData(offset);
  }

  nextHole(fd: number, offset: number): number | null {
    this.begin('nextHole');
    return this.described('lseek', fd).nextHole(offset);
  }

  private writeAs(name: 'write' | 'zero', fd: number, bytes: Buffer, position: number): void {
    const file = this.described('writev', fd);
    const writePart = (length: number): void => {
      if (length > 0) this.resizing(file, () => file.write(bytes.subarray(0, length), position));
    };
    try {
      this.begin(name);
    } catch (error) {
      // A write that fails has often written something first.
      const part = error instanceof SimulatedCrash ? error.writtenPart : 0.5;
      writePart(Math.min(Math.floor(bytes.length * part), this.room(file) - position));
      throw error;
    }
    const fits = Math.min(bytes.length, this.room(file) - position);
    writePart(fits);
    if (fits < bytes.length) throw systemError('ENOSPC', 'writev');
  }

  readSync(fd: number, target: Uint8Array, position: number): number {
    this.begin('readSync');
    return copyOut(this.described('read', fd), target, position);
  }

  async read(fd: number, target: Uint8Array, position: number): Promise<number> {
    this.begin('read');
    const file = this.described('read', fd);
    await nextTurn();
    return copyOut(file, target, position);
  }

  async sync(fd: number): Promise<void> {
    const file = this.described('fdatasync', fd);
    const mark = file.beginSync();
    try {
      this.begin('sync');
    } catch (error) {
      if (!(error instanceof SimulatedCrash)) file.failSync(mark);
      throw error;
    }
    await nextTurn();
    this.stopIfEnded();
    file.completeSync(mark);
  }

  async syncDirectory(directoryPath: string): Promise<void> {
    this.begin('syncDirectory');
    const directory = this.directory('open', directoryPath);
    const mark = this.tree.beginSync();
    await nextTurn();
    this.stopIfEnded();
    this.tree.completeSync(directory, mark);
  }

  rename(from: string, to: string): void {
    this.begin('rename');
    const node = this.find('rename', from);
    const source = this.parent('rename', from);
    const target = this.parent('rename', to);
    const replaced = target.directory.entries.get(target.name);
    if (replaced === node) return;
    if (replaced instanceof SimulatedDirectory) throw systemError('EISDIR', 'rename', to);
    this.tree.change([
      { ...source, node: null },
      { ...target, node },
    ]);
    if (replaced) this.unrefer(replaced);
  }

  unlink(file: string): void {
    this.begin('unlink');
    const node = this.find('unlink', file);
    if (node instanceof SimulatedDirectory) throw systemError('EISDIR', 'unlink', file);
    this.tree.change([{ ...this.parent('unlink', file), node: null }]);
    this.unrefer(node);
  }

  ensureDirectory(directory: string): void {
    this.begin('ensureDirectory');
    this.makeDirectories(directory, false);
  }

  list(directory: string): string[] {
    return [...this.directory('scandir', directory).entries.keys()].sort();
  }

  freeBytes(directory: string): number {
    this.directory('statfs', directory);
    return Math.max(this.capacityBytes - this.usedBlocks * blockBytes, 0);
  }

  private next(tree: SimulatedTree): SimulatedFiles {
    return new SimulatedFiles({ capacityBytes: this.capacityBytes }, tree);
  }

  private begin(name: FileCall): void {
    this.stopIfEnded();
    this.calls += 1;
    this.onCall?.(name, this.calls);
    this.faults.check(name);
  }

  private stopIfEnded(): void {
    if (this.ended) throw new SimulatedCrash();
  }

  private makeDirectories(directoryPath: string, durable: boolean): void {
    let directory = this.tree.root;
    for (const name of path.resolve(directoryPath).split('/').filter(Boolean)) {
      const known = directory.entries.get(name);
      if (known instanceof SimulatedFile) throw systemError('ENOTDIR', 'mkdir', directoryPath);
      const node = known ?? new SimulatedDirectory();
      if (!known) this.tree.change([{ directory, name, node }]);
      if (durable) this.tree.completeSync(directory, this.tree.beginSync());
      directory = node;
    }
  }

  private find(syscall: string, file: string): SimulatedNode {
    let node: SimulatedNode = this.tree.root;
    for (const name of path.resolve(file).split('/').filter(Boolean)) {
      if (node instanceof SimulatedFile) throw systemError('ENOTDIR', syscall, file);
      const next: SimulatedNode | undefined = node.entries.get(name);
      if (!next) throw systemError('ENOENT', syscall, file);
      node = next;
    }
    return node;
  }

  private directory(syscall: string, directoryPath: string): SimulatedDirectory {
    const node = this.find(syscall, directoryPath);
    if (node instanceof SimulatedFile) throw systemError('ENOTDIR', syscall, directoryPath);
    return node;
  }

  private parent(syscall: string, file: string): { directory: SimulatedDirectory; name: string } {
    return { directory: this.directory(syscall, path.dirname(file)), name: path.basename(file) };
  }

  private describe(file: SimulatedFile): number {
    const fd = this.nextDescriptor;
    this.nextDescriptor += 1;
    this.descriptors.set(fd, file);
    this.refer(file);
    return fd;
  }

  private described(syscall: string, fd: number): SimulatedFile {
    this.stopIfEnded();
    const file = this.descriptors.get(fd);
    if (!file) throw systemError('EBADF', syscall);
    return file;
  }

  /** How large the file may get; what it has it keeps, also when the capacity was lowered since. */
  private room(file: SimulatedFile): number {
    const others = (this.usedBlocks - blocks(file)) * blockBytes;
    return Math.max(this.capacityBytes - others, blocks(file) * blockBytes);
  }

  private resizing(file: SimulatedFile, change: () => void): void {
    const before = blocks(file);
    change();
    this.usedBlocks += blocks(file) - before;
  }

  private refer(file: SimulatedFile): void {
    if (file.references === 0) this.usedBlocks += blocks(file);
    file.references += 1;
  }

  private unrefer(file: SimulatedFile): void {
    file.references -= 1;
    if (file.references === 0) this.usedBlocks -= blocks(file);
  }
}

function* filesBelow(directory: SimulatedDirectory): Generator<SimulatedFile> {
  for (const node of directory.entries.values()) {
    if (node instanceof SimulatedFile) yield node;
    else yield* filesBelow(node);
  }
}

const blocks = (file: SimulatedFile): number => Math.ceil(file.size / blockBytes);

function copyOut(file: SimulatedFile, target: Uint8Array, position: number): number {
  const piece = file.content.subarray(position, Math.min(position + target.length, file.size));
  target.set(piece);
  return piece.length;
}

const nextTurn = (): Promise<void> =>
  new Promise((resolve) => {
    setImmediate(resolve);
  });
