// Work on a mounted file system: files are created, appended to, truncated, overwritten, renamed, replaced
// and deleted, some flushed at once, some later; each flush is remembered with its LSN.
import fs from 'node:fs/promises';
import path from 'node:path';
import { FlushedFiles, type Change, type FileVersion } from './flushed-files.ts';
import type { Random } from './random.ts';

export interface FileLoadOptions {
  /** Where it is mounted. */
  root: string;
  random: Random;
  /** The newest LSN of the disk below. */
  head(): Promise<number>;
  /** Everything written up to now is durable when it resolves. */
  syncAll(): Promise<void>;
  /**
   * Whether names change all at once and a flushed directory needs no more. Without a journal a change is
   * anything until all of it is flushed.
   */
  journaled: boolean;
}

const directories = 3;
const namesEach = 14;
const anchorsEach = 14;
const spareFiles = 100;
/** Below this a file may move from one place to another when it grows. */
const growsInPlaceBytes = 8192;
const operationsPerSync = 16;

interface Done {
  /** What has to be flushed for it, directories too. */
  touched: string[];
  versions: FileVersion[];
}

export class FileLoad {
  readonly truth = new FlushedFiles();
  readonly #options: FileLoadOptions;
  readonly #contents = new Map<string, Buffer>();
  readonly #pool: Buffer;
  #changes = 0;
  #contentsMade = 0;

  private constructor(options: FileLoadOptions) {
    this.#options = options;
    this.#pool = options.random.bytes(256 * 1024);
  }

  /**
   * Directories with files that stay, and as many files beside them as there will ever be, which go again. So
   * neither directories nor the table of files change their shape later: a file system without a journal
   * cannot do that in one write. (ntfs-3g refuses to mount while the table has grown and its mirror has not.)
   */
  static async prepare(options: FileLoadOptions): Promise<FileLoad> {
    const load = new FileLoad(options);
    const spare: string[] = [];
    for (const directory of [...Array(directories).keys()].map((at) => `d${at}`)) {
      await fs.mkdir(load.#at(directory));
      for (let n = 0; n < anchorsEach; n += 1) await load.#create(`${directory}/k${n}`, 0);
      for (let n = 0; n < namesEach; n += 1) spare.push(`${directory}/s${n}`);
    }
    await fs.mkdir(load.#at('spare'));
    for (let n = 0; n < spareFiles; n += 1) spare.push(`spare/s${n}`);
    for (const name of spare) await fs.writeFile(load.#at(name), load.#content());
    await options.syncAll();
    for (const name of spare) await fs.unlink(load.#at(name));
    await options.syncAll();
    load.truth.flushed(await options.head());
    return load;
  }

  /** So many changes, one after the other. */
  async work(operations: number): Promise<void> {
    const { random, head } = this.#options;
    for (let n = 0; n < operations; n += 1) {
      this.#changes += 1;
      const done = await this.#change(await head());
      if (random.chance(0.6)) await this.#flush(done);
      if (this.#changes % operationsPerSync === 0) {
        await this.#options.syncAll();
        this.truth.flushed(await head());
      }
    }
  }

  async #flush({ touched, versions }: Done): Promise<void> {
    for (const name of touched) {
      const handle = await fs.open(this.#at(name), 'r');
      await handle.sync();
      await handle.close();
    }
    if (!this.#options.journaled) await this.#options.syncAll();
    this.truth.flushed(await this.#options.head(), versions);
  }

  #change(begun: number): Promise<Done> {
    const { random } = this.#options;
    const name = this.#anyName();
    const old = this.#contents.get(name);
    if (old === undefined) return this.#create(name, begun);
    return random.pick([
      () => this.#append(name, old, begun),
      () => this.#append(name, old, begun),
      () => this.#truncate(name, old, begun),
      () => this.#overwrite(name, old, begun),
      () => this.#rename(name, old, begun),
      () => this.#replace(name, begun),
      () => this.#remove(name, begun),
    ])();
  }

  async #create(name: string, begun: number): Promise<Done> {
    const content = this.#content();
    await fs.writeFile(this.#at(name), content);
    return this.#changed(name, content, 'anything', begun);
  }

  async #append(name: string, old: Buffer, begun: number): Promise<Done> {
    const more = this.#content();
    await fs.appendFile(this.#at(name), more);
    const inPlace = this.#options.journaled || old.length >= growsInPlaceBytes;
    return this.#changed(name, Buffer.concat([old, more]), inPlace ? 'append' : 'anything', begun);
  }

  async #truncate(name: string, old: Buffer, begun: number): Promise<Done> {
    const left = old.subarray(0, this.#options.random.below(old.length + 1));
    await fs.truncate(this.#at(name), left.length);
    return this.#changed(name, left, 'anything', begun);
  }

  async #overwrite(name: string, old: Buffer, begun: number): Promise<Done> {
    const offset = this.#options.random.below(old.length + 1);
    const piece = this.#content();
    const content = Buffer.alloc(Math.max(old.length, offset + piece.length));
    old.copy(content);
    piece.copy(content, offset);
    const handle = await fs.open(this.#at(name), 'r+');
    await handle.write(piece, 0, piece.length, offset);
    await handle.close();
    return this.#changed(name, content, 'anything', begun);
  }

  /** To another name, whose file goes if there is one. */
  async #rename(name: string, old: Buffer, begun: number): Promise<Done> {
    const to = this.#anyName();
    if (to === name) return this.#append(name, old, begun);
    // What was not flushed before it got the name may be missing behind the name.
    const change = this.truth.isPending(name) ? 'anything' : 'whole';
    await fs.rename(this.#at(name), this.#at(to));
    const left = this.#changed(name, null, 'whole', begun);
    const come = this.#changed(to, old, change, begun);
    return {
      touched: [to, ...left.touched, ...come.touched],
      versions: [...left.versions, ...come.versions],
    };
  }

  /** As programs save a document: written beside it, flushed, renamed. */
  async #replace(name: string, begun: number): Promise<Done> {
    const content = this.#content();
    const beside = this.#at(`${path.dirname(name)}/t`);
    await fs.writeFile(beside, content, { flush: true });
    await fs.rename(beside, this.#at(name));
    return this.#changed(name, content, 'whole', begun);
  }

  async #remove(name: string, begun: number): Promise<Done> {
    await fs.unlink(this.#at(name));
    return this.#changed(name, null, 'whole', begun);
  }

  #changed(name: string, content: Buffer | null, change: Change, begun: number): Done {
    if (content === null) this.#contents.delete(name);
    else this.#contents.set(name, content);
    const known = change === 'append' || this.#options.journaled ? change : 'anything';
    const version = this.truth.add(name, content, known, begun);
    const touched = [...(content === null ? [] : [name]), path.dirname(name)];
    return { touched, versions: [version] };
  }

  #anyName(): string {
    const { random } = this.#options;
    return `d${random.below(directories)}/f${random.below(namesEach)}`;
  }

  #at(name: string): string {
    return path.join(this.#options.root, name);
  }

  /** Never the same twice; often small, sometimes large. */
  #content(): Buffer {
    const { random } = this.#options;
    const most = random.pick([400, 4000, 10_000, 30_000, 120_000]);
    const length = 16 + random.below(most);
    const offset = random.below(this.#pool.length - length);
    const content = Buffer.from(this.#pool.subarray(offset, offset + length));
    this.#contentsMade += 1;
    content.writeUInt32LE(this.#contentsMade, 0);
    return content;
  }
}
