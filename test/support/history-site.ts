// One machine whose history is tried: an oracle of its writes and tags, views of its moments, and kill -9 in
// the midst of what is done to its files.
import fs from 'node:fs';
import path from 'node:path';
import type { Test } from 'tap';
import type { PointsReport, VerifyReport, ViewReport } from '../../agent/control/client.ts';
import { MiB } from '../../core/units.ts';
import { MasterTarget, until, type Settings } from './homeward.ts';
import { Oracle } from './oracle.ts';
import { OracleWriter, readExport } from './oracle-writer.ts';
import { chooseSeed, seededRandom, type Random } from './random.ts';

export const machineName = 'box';
export const diskName = 'disk';
export const historyDiskBytes = 8 * MiB;

/** The cursor follows at once, and what is two seconds old leaves the dense window. */
export const hastySettings = {
  SegmentBytes: '1M',
  ReplicaLag: '0s',
  WindowHours: '2s',
  KeepRules: 'none',
  SyncIntervalMs: '20ms',
  RetentionReserveBytes: '0',
  LogLevel: 'debug',
};

export type View = Pick<ViewReport, 'id' | 'lsn' | 'listen'>;

export class HistorySite {
  readonly t: Test;
  readonly target: MasterTarget;
  readonly socket: string;
  readonly random: Random;
  readonly oracle = new Oracle(0, historyDiskBytes);
  /** LSNs of tags, which are records that no write made; in order. */
  readonly tagLsns: number[] = [];
  #writer: OracleWriter | null = null;

  private constructor(t: Test, target: MasterTarget, socket: string, random: Random) {
    this.t = t;
    this.target = target;
    this.socket = socket;
    this.random = random;
  }

  static async start(t: Test, settings: Settings): Promise<HistorySite> {
    const random = seededRandom(chooseSeed(t));
    const target = await MasterTarget.start(t, settings);
    const socket = await target.ingest(machineName, [`${diskName}=${historyDiskBytes}`]);
    return new HistorySite(t, target, socket, random);
  }

  /** Its directory on the retention volume. */
  get directory(): string {
    const retention = this.target.inData('retention');
    const found = fs.readdirSync(retention).find((name) => /^[0-9a-f-]{36}$/.test(name));
    if (found === undefined) throw new Error(`no machine in ${retention}`);
    return path.join(retention, found);
  }
  /** Undo segments that have their names, oldest first. */
  get undoFiles(): string[] {
    return fs
      .readdirSync(path.join(this.directory, 'undo'))
      .filter((name) => name.endsWith('.seg'))
      .toSorted();
  }

  status(): ReturnType<MasterTarget['status']> {
    return this.target.status(machineName);
  }
  points(): Promise<PointsReport> {
    return this.target.client.points(machineName, { rates: false });
  }

  /** A connection that stays until `disconnect`. */
  async writer(): Promise<OracleWriter> {
    const { oracle, random } = this;
    this.#writer ??= await OracleWriter.connect(this.socket, diskName, {
      oracle,
      random,
      window: 8,
      flush: 0.2,
    });
    return this.#writer;
  }

  /** So many changes more, all durable. */
  async write(changes: number): Promise<void> {
    const writer = await this.writer();
    await writer.writeMore(changes);
    await writer.flush();
  }

  async tag(name: string): Promise<number> {
    const { lsn } = await this.target.client.tag(machineName, name);
    this.tagLsns.push(lsn);
    return lsn;
  }

  /**
   * Writes and reads `views` in turn until something has killed the daemon; starts it again and forgets what
   * was never recorded.
   */
  async writeUntilKilled(views: readonly View[] = []): Promise<void> {
    const isOver = (): boolean => !this.target.process.running;
    try {
      // Also this connection may meet the end.
      const writer = await this.writer();
      while (await writer.writeMore(40)) {
        if (views.length > 0) await this.check(this.random.pick(views), 'while it is written');
      }
    } catch (error) {
      await until(`the end of the daemon, after ${String(error)}`, isOver, 10_000);
    }
    await this.comeBack();
  }

  /** Starts a killed daemon again; what it answered is there. */
  async comeBack(): Promise<void> {
    const answered = this.#writer === null ? 0 : Math.max(0, ...this.#writer.completed);
    this.#writer = null;
    await this.target.kill();
    await this.target.restart();
    const { headLsn } = await this.status();
    const head = this.changesAt(headLsn);
    this.t.ok(head >= answered, `answered up to change ${answered}, there are ${head}`);
    this.oracle.forgetAfter(head);
  }

  /** Writes until the daemon says that there is no space; gives back how many changes it took. */
  async writeUntilFull(most = 20_000): Promise<number> {
    const before = this.oracle.changes.length;
    if (!(await this.writeHard(most))) throw new Error(`${most} changes, and it is not full`);
    return this.oracle.changes.length - before;
  }

  /** As many changes, or until there is no space: then true. */
  async writeHard(changes: number): Promise<boolean> {
    const { oracle, random } = this;
    const options = { oracle, random, window: 1, flush: 0.1 };
    const writer = await OracleWriter.connect(this.socket, diskName, options);
    try {
      await writer.writeMore(changes);
      return false;
    } catch (error) {
      if (!String(error).endsWith('errno 28')) throw error;
      // The one that was refused never was.
      oracle.forgetAfter(oracle.changes.length - 1);
      return true;
    }
  }

  /** After its files have been put back as they were when there were so many changes. */
  wentBackTo(changes: number): void {
    this.#writer = null;
    this.oracle.forgetAfter(changes);
  }

  /** How many changes of the oracle a moment has. */
  changesAt(lsn: number): number {
    return lsn - this.tagLsns.filter((tag) => tag <= lsn).length;
  }

  /** Writes on until the cursor has moved so many steps more. */
  async writeSteps(steps: number): Promise<void> {
    const { target } = this;
    const enough = target.logged('step-applied') + steps;
    while (target.logged('step-applied') < enough) {
      await this.write(20);
      await this.status();
    }
  }

  /** Moves the replica to `lsn` and holds it there, without waiting for what a step waits for else. */
  async pinAt(lsn: number): Promise<void> {
    const target = { kind: 'in-place' } as const;
    const request = { machine: machineName, at: `lsn:${lsn}`, target, overwrite: [] };
    await this.target.client.recover(request, () => undefined, new AbortController().signal);
  }

  /** The cursor goes to the newest write now. */
  async applyAll(): Promise<void> {
    await this.pinAt((await this.status()).durableLsn);
    await this.target.client.unpin(machineName);
  }

  /**
   * Points that stay when the dense window has passed: a tag of each name, with writes before it and some
   * behind the last.
   */
  async writeKept(names: readonly string[]): Promise<void> {
    for (const name of names) {
      await this.write(60);
      await this.tag(name);
    }
    await this.write(60);
    await this.applyAll();
    const newest = this.tagLsns.at(-1) ?? 0;
    await until('the window to pass the tags', async () => {
      await this.write(5);
      return ((await this.points()).window?.from.lsn ?? 0) > newest;
    });
  }

  /** Some LSN of the dense window. */
  async someLsn(): Promise<number> {
    const { window } = await this.points();
    if (window === null) throw new Error('there is no point');
    return window.from.lsn + this.random.below(window.to.lsn - window.from.lsn + 1);
  }

  /** Opens a view of a point of the window; once more when that has just left it. */
  async openSome(): Promise<View> {
    for (;;) {
      const lsn = await this.someLsn();
      try {
        return await this.target.view(machineName, `lsn:${lsn}`);
      } catch (error) {
        const gone = (error as { code?: string }).code;
        if (gone !== 'outside-window' && gone !== 'thinned') throw error;
      }
    }
  }

  async openWritable(at: string): Promise<View> {
    const listen = `unix:${this.target.inDirectory(`writable-${this.random.below(2 ** 31)}.sock`)}`;
    const request = { machine: machineName, at, listen, writable: true, leaseMs: null };
    return await this.target.client.openView(request);
  }

  /** A view shows exactly the writes up to its LSN. */
  async check(view: View, what = 'exact'): Promise<Buffer> {
    const image = await readExport(socketOf(view), diskName, historyDiskBytes);
    const wrong = this.oracle.compare(image, this.changesAt(view.lsn));
    this.t.same(wrong, [], `lsn:${view.lsn}: ${what}`);
    return image;
  }

  /** Opens a view, checks it and closes it. */
  async checkAt(at: string, what?: string): Promise<void> {
    const view = await this.target.view(machineName, at);
    await this.check(view, what ?? at);
    await this.target.closeView(view.id);
  }

  /**
   * Points that are kept, the ends of the window and some moments inside; and the head as the ingest reads
   * it.
   */
  async checkAll(inside = 2): Promise<void> {
    const { kept, window } = await this.points();
    for (const { lsn } of kept) await this.#checkIfThere(lsn);
    if (window !== null) await this.#checkIfThere(window.from.lsn);
    for (let n = 0; n < inside; n += 1) {
      const view = await this.openSome();
      await this.check(view);
      await this.target.closeView(view.id);
    }
    const { headLsn } = await this.status();
    await this.checkAt('latest');
    const head = await readExport(this.socket, diskName, historyDiskBytes);
    this.t.same(this.oracle.compare(head, this.changesAt(headLsn)), [], 'the ingest reads its head');
  }

  /** A point that has left meanwhile is told of; anything else has to be exact. */
  async #checkIfThere(lsn: number): Promise<void> {
    await this.checkAt(`lsn:${lsn}`).catch(async (error: unknown) => {
      const code = (error as { code?: string }).code ?? '';
      if (code !== 'outside-window' && code !== 'thinned') throw error;
      const { kept, window } = await this.points();
      const isThere = (window?.from.lsn ?? 0) <= lsn || kept.some((point) => point.lsn === lsn);
      this.t.notOk(isThere, `lsn:${lsn} has left the window meanwhile`);
    });
  }
}

/** What a verification of all that there is says. */
export const verified = ({ client }: MasterTarget): Promise<VerifyReport> =>
  client.verify(
    { machine: machineName, part: null, forMs: null },
    () => undefined,
    new AbortController().signal,
  );

export const socketOf = ({ listen }: View): string => listen.slice('unix:'.length);

/**
 * Whether a change of a file counts: in the room `undo`, `redo` or `derived`, or the machine's own directory,
 * ''.
 */
export type FileEvent = (room: string, name: string) => boolean;

/**
 * Kills the daemon when files have changed so; `spared` such changes pass before. Ends with the call that is
 * given back.
 */
export function killWhen({ directory, target }: HistorySite, counts: FileEvent, spared = 0): () => void {
  let left = spared;
  const stop = (): void => {
    left = -1;
    for (const watcher of watchers) watcher.close();
  };
  const watchers = ['', 'undo', 'redo', 'derived'].map((room) =>
    fs.watch(path.join(directory, room), (_event, name) => {
      if (left < 0 || !counts(room, name ?? '')) return;
      left -= 1;
      if (left >= 0) return;
      stop();
      process.kill(target.pid, 'SIGKILL');
    }),
  );
  return stop;
}
