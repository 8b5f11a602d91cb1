// Checks the promise of capture as a whole: after a crash at any moment, what the target got and a sync of
// the map alone give exactly what the disk has.
import t from 'tap';
import type { BlockStore } from '../../../../core/block/block-store.ts';
import { memoryStore } from '../../../../core/block/memory-store.ts';
import { wrapStore } from '../../../../core/block/wrap-store.ts';
import { RecordKind } from '../../../../core/record/record.ts';
import { MiB } from '../../../../core/units.ts';
import { regionBytes } from '../../../../mobility/capture/captured-disks.ts';
import type { FrontDisks } from '../../../../mobility/capture/front-disks.ts';
import { chooseSeed, seededRandom, type Random } from '../../../support/random.ts';
import type { SimulatedFiles } from '../../../support/simulated-files.ts';
import {
  contentOf,
  diskOf,
  flush,
  ListRecorder,
  openFront,
  replay,
  simulatedFiles,
  turns,
  write,
  zero,
  type Front,
} from '../capture/front-fixture.ts';
import { hashesOf, syncsOver } from './sync-fixture.ts';

const size = 5 * regionBytes + 1536;
/** Where the workload writes: around the borders of regions, so that requests overlap and span them. */
const spots = [0, regionBytes, 3 * regionBytes, 4 * regionBytes + MiB, size - 9000];
const diskFile = '/data/disk';

/**
 * A disk on the simulated file system, whose unflushed writes a power cut may lose; slow, and out of order.
 */
function simulatedDisk(files: SimulatedFiles, fd: number, random: Random): BlockStore {
  const base = memoryStore(size);
  const store: BlockStore = {
    ...base,
    size,
    read: async (target, offset) => void files.readSync(fd, target, offset),
    write: async (source, offset) => files.write(fd, [source], offset),
    zero: async (offset, length) => files.write(fd, [Buffer.alloc(length)], offset),
    flush: () => files.sync(fd),
    extents: async (_offset, length) => [{ length, hole: false, zero: false }],
    close: async () => undefined,
  };
  return wrapStore(store, async (call, run) => {
    await turns(random.below(3));
    if (call.name !== 'extents' && random.chance(call.name === 'flush' ? 0.001 : 0.003))
      throw Object.assign(new Error('EIO'), { code: 'EIO' });
    const result = await run();
    // The disk has it, and we do not know it yet.
    await turns(random.below(3));
    return result;
  });
}

/** What is at the master target. */
interface Target {
  content: Buffer;
  lsn: number;
}

/** Records up to `lsn` have reached the target; gives back its state just before the newest sync-begin. */
function advance(target: Target, recorder: ListRecorder, lsn: number): void {
  const arrived = recorder.records.filter((record) => record.lsn > target.lsn && record.lsn <= lsn);
  for (const { change } of arrived) if (change !== null) replay(target.content, [change]);
  target.lsn = Math.max(target.lsn, lsn);
}

class Run {
  readonly random: Random;
  readonly parts: Front;
  readonly target: Target;
  readonly #stop = new AbortController();
  /** As it was just before the newest sync-begin. */
  #before: Buffer | null = null;
  #beganLsn = 0;
  #syncing: Promise<void> = Promise.resolve();
  #idle = true;
  readonly #requests = new Set<Promise<unknown>>();

  constructor(parts: Front, target: Target, random: Random) {
    this.parts = parts;
    this.target = target;
    this.random = random;
  }

  get front(): FrontDisks {
    return this.parts.front;
  }

  sync(checksums: boolean): void {
    if (!this.#idle) return;
    this.#idle = false;
    const hashes = async (sync: number, _disk: number, start: number, end: number): Promise<Buffer> => {
      await turns(this.random.below(3));
      if (this.#before === null || sync !== this.#beganLsn) throw new Error('not that state');
      return hashesOf(this.#before, start, end);
    };
    this.#syncing = syncsOver(this.parts, { hashes })
      .run({ reason: 'resync', checksums }, this.#stop.signal)
      .then(
        () => undefined,
        () => undefined, // a failed read, or the end: the next one begins with what is left
      )
      .finally(() => {
        this.#idle = true;
      });
  }

  /** Some of what is on the way arrives. */
  arrive(all = false): void {
    const { recorder } = this.parts;
    const { records } = recorder;
    const some = (from: number, to: number): number =>
      all ? to : from + this.random.below(Math.max(to - from, 0) + 1);
    const spooled = some(recorder.spooledLsn, records.at(-1)?.lsn ?? 0);
    const wanted = some(recorder.targetLsn, Math.max(spooled, recorder.spooledLsn));
    const begin = records.findLast(
      ({ note, lsn }) => typeof note === 'object' && note !== null && lsn <= wanted,
    );
    if (begin !== undefined && begin.lsn > this.#beganLsn) {
      advance(this.target, recorder, begin.lsn - 1);
      this.#before = Buffer.from(this.target.content);
      this.#beganLsn = begin.lsn;
    }
    advance(this.target, recorder, wanted);
    recorder.acknowledge(spooled, wanted);
  }

  request(): void {
    const { random } = this;
    const disk = diskOf(this.front);
    const length = 1 + random.below(random.chance(0.1) ? 4000 : 500);
    const offset = Math.min(Math.max(0, random.pick(spots) - 1000 + random.below(2000)), size - length);
    const kind = random.below(10);
    let request: Promise<unknown>;
    if (kind === 0 && random.chance(0.2)) request = flush(disk);
    else if (kind < 3) request = zero(disk, offset, length, random.chance(0.5));
    else request = write(disk, random.bytes(length), offset, random.chance(0.01));
    this.#requests.add(request);
    void request.finally(() => this.#requests.delete(request));
  }

  async step(): Promise<void> {
    const { random, parts } = this;
    if (random.chance(0.5)) this.request();
    if (random.chance(0.3)) this.arrive(random.chance(0.2));
    if (random.chance(0.3)) {
      parts.clock.ms += random.below(10_000);
      void this.front.sweep();
    }
    if (random.chance(0.002)) parts.recorder.overflow();
    const wanted = this.front.needsSync || !parts.recorder.recording;
    if (random.chance(wanted ? 0.1 : 0.003)) this.sync(random.chance(0.5));
    await turns(random.below(3));
  }

  /** Ends what is under way, without any effect on what a power cut has left before. */
  async abandon(): Promise<void> {
    this.#stop.abort(new Error('the end'));
    await Promise.all([...this.#requests, this.#syncing]);
    await this.front.close();
  }

  /** Until everything is at the target and nothing needs a sync. */
  async finish(): Promise<void> {
    for (let tries = 0; this.front.needsSync || !this.parts.recorder.recording || !this.#idle; tries += 1) {
      if (tries > 100_000) throw new Error('the sync does not end');
      if (this.front.disks.some(({ flushFailed }) => flushFailed) && this.#idle && !this.#needsCopy()) break;
      this.sync(tries % 2 === 0);
      this.arrive(true);
      await turns(1);
    }
    await Promise.all([...this.#requests, this.#syncing]);
    this.arrive(true);
  }

  #needsCopy(): boolean {
    return !this.parts.recorder.recording || this.front.disks.some(({ map }) => map.needsSync);
  }
}

async function start(files: SimulatedFiles, head: number, target: Target, random: Random): Promise<Run> {
  const recorder = new ListRecorder();
  recorder.headLsn = head;
  recorder.recording = false;
  const store = simulatedDisk(files, files.open(diskFile), random);
  const parts = await openFront([store], { files, recorder, dirty: true });
  return new Run(parts, target, random);
}

async function makeDisk(random: Random): Promise<SimulatedFiles> {
  const files = simulatedFiles();
  const fd = files.create(diskFile);
  files.allocate(fd, size);
  for (const spot of spots) files.write(fd, [random.bytes(2000)], spot);
  await files.sync(fd);
  await files.syncDirectory('/data');
  files.close(fd);
  return files;
}

t.test('whatever a power cut takes, the map names every region that differs', async (t) => {
  const seed = chooseSeed(t);
  let syncs = 0;
  for (let round = 0; round < 5; round += 1) {
    const random = seededRandom(seed + round);
    let files = await makeDisk(random);
    const target: Target = { content: Buffer.alloc(size, 0xee), lsn: 0 };
    let head = 0;
    for (let life = 0; life < 4; life += 1) {
      const run = await start(files, head, target, random);
      run.sync(random.chance(0.5));
      const steps = random.below(800);
      for (let step = 0; step < steps; step += 1) await run.step();
      const after = files.crash({ seed: random.below(1e9), mode: 'mixed' });
      // What the process server had may still reach the target.
      const { recorder } = run.parts;
      advance(target, recorder, recorder.spooledLsn);
      head = recorder.headLsn + 1000;
      syncs += recorder.records.filter(({ note }) => note === 'sync-end').length;
      const kept = { content: Buffer.from(target.content), lsn: head };
      await run.abandon();
      Object.assign(target, kept);
      files = after;
    }
    const last = await start(files, head, target, random);
    for (let step = 0; step < 100; step += 1) await last.step();
    await last.finish();
    const disk = memoryStore(size);
    const fd = files.open(diskFile);
    const content = Buffer.alloc(size);
    files.readSync(fd, content, 0);
    await disk.write(content, 0);
    const differs = firstDifference(target.content, await contentOf(disk));
    t.equal(differs, -1, `round ${round}: region ${Math.floor(differs / regionBytes)}`);
    const { changes } = last.parts.recorder;
    t.ok(changes.every(({ kind }) => kind === RecordKind.write || kind === RecordKind.zero));
    await last.front.close();
  }
  t.comment(`${syncs} syncs ended before a power cut`);
});

function firstDifference(a: Buffer, b: Buffer): number {
  if (a.equals(b)) return -1;
  for (let at = 0; at < a.length; at += 1) if (a[at] !== b[at]) return at;
  return a.length;
}
