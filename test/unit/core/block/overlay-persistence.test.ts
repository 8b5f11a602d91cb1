// Checks that an overlay comes back after a crash at any call: all that was flushed, each block whole, and
// nothing else than what was written.
import t, { type Test } from 'tap';
import type { BlockStore } from '../../../../core/block/block-store.ts';
import { memoryStore } from '../../../../core/block/memory-store.ts';
import { OverlayMap, overlayMapBytes } from '../../../../core/block/overlay-map.ts';
import { openOverlay, OverlayRoom, overlayBlockBytes } from '../../../../core/block/overlay-store.ts';
import { seededRandom, chooseSeed, type Random } from '../../../support/random.ts';

const blocks = 24;
const size = blocks * overlayBlockBytes - 1000; // the last block is a short one
const of = { size, lsn: 7 };

/** Thrown by every call from the crash on. */
class Crash extends Error {}

/** Counts calls of all disks that share it, and ends the process at one of them. */
interface Power {
  left: number;
}

/**
 * A disk that keeps what was not flushed apart: a kill leaves all of it, a power cut any part of it.
 */
class FragileDisk {
  durable: Buffer;
  #cached: Buffer;

  constructor(content: Buffer) {
    this.durable = content;
    this.#cached = Buffer.from(content);
  }

  store(power: Power): BlockStore {
    const call = (): void => {
      power.left -= 1;
      if (power.left < 0) throw new Crash();
    };
    const disk = (): Buffer => this.#cached;
    return {
      size: disk().length,
      async read(target, offset) {
        call();
        target.set(disk().subarray(offset, offset + target.length));
      },
      async write(source, offset) {
        if (power.left === 0) disk().set(source.subarray(0, Math.floor(source.length / 1024) * 512), offset);
        call();
        disk().set(source, offset);
      },
      async zero(offset, length) {
        call();
        disk().fill(0, offset, offset + length);
      },
      flush: async () => {
        call();
        this.durable = Buffer.from(this.#cached);
      },
      async extents(offset, length) {
        const isZero = disk()
          .subarray(offset, offset + length)
          .every((byte) => byte === 0);
        return length === 0 ? [] : [{ length, hole: isZero, zero: isZero }];
      },
      async close() {
        call();
      },
    };
  }

  crash(random: Random, kind: 'kill' | 'power cut'): FragileDisk {
    const left = Buffer.from(this.#cached);
    for (let at = 0; at < left.length && kind === 'power cut'; at += 512)
      if (random.chance(0.5)) left.set(this.durable.subarray(at, at + 512), at);
    return new FragileDisk(left);
  }
}

interface Disks {
  changes: FragileDisk;
  marks: FragileDisk;
}

async function open({ changes, marks }: Disks, base: Buffer, power: Power): Promise<BlockStore> {
  const under = memoryStore(size);
  await under.write(base, 0);
  const map = await OverlayMap.open(marks.store(power), of);
  return openOverlay({ base: under, changes: changes.store(power) }, map);
}

/** What each 512 bytes may read as: as flushed, or as any write since. */
class Allowed {
  #sectors: Buffer[][];
  now: Buffer;

  constructor(base: Buffer) {
    this.now = Buffer.from(base);
    this.#sectors = this.#split(base).map((sector) => [sector]);
  }

  /** A write that has begun. */
  changed(next: Buffer): void {
    this.now = next;
    for (const [index, sector] of this.#split(next).entries()) this.#sectors[index]!.push(sector);
  }

  /** What was complete when the flush was asked for: all, or all but what went on beside it. */
  flushed(complete = this.now): void {
    const now = this.#split(this.now);
    this.#sectors = this.#split(complete).map((sector, index) => [sector, now[index]!]);
  }

  wrong(found: Buffer): number[] {
    const sectors = this.#split(found);
    return [...sectors.keys()].filter(
      (index) => !this.#sectors[index]!.some((allowed) => allowed.equals(sectors[index]!)),
    );
  }

  #split(bytes: Buffer): Buffer[] {
    return Array.from({ length: Math.ceil(size / 512) }, (_, index) =>
      Buffer.from(bytes.subarray(index * 512, (index + 1) * 512)),
    );
  }
}

/** Random calls, whole sectors each, until the power goes or the script ends. */
async function script(overlay: BlockStore, allowed: Allowed, random: Random): Promise<void> {
  for (let call = 0; call < 30; call++) {
    const offset = random.below(Math.floor(size / 512)) * 512;
    const length = Math.min(512 * (1 + random.below(40)), size - offset);
    const next = Buffer.from(allowed.now);
    const kind = random.pick(['write', 'write', 'write', 'zero', 'punch', 'flush', 'both'] as const);
    if (kind === 'flush') {
      await overlay.flush();
      allowed.flushed();
    } else if (kind === 'both') {
      const bytes = random.bytes(length);
      const complete = allowed.now;
      next.set(bytes, offset);
      allowed.changed(next);
      await Promise.all([overlay.flush(), overlay.write(bytes, offset), overlay.flush()]);
      allowed.flushed(complete);
    } else if (kind === 'write') {
      const bytes = random.bytes(length);
      next.set(bytes, offset);
      allowed.changed(next);
      await overlay.write(bytes, offset);
    } else {
      next.fill(0, offset, offset + length);
      allowed.changed(next);
      await overlay.zero(offset, length, { punch: kind === 'punch' });
    }
  }
}

/** The wrong sectors after a crash at call `at`; null when the script ended before. */
async function crashAt(seed: number, at: number, kind: 'kill' | 'power cut'): Promise<number[] | null> {
  const random = seededRandom(seed);
  const base = random.bytes(size);
  const disks = {
    changes: new FragileDisk(Buffer.alloc(size)),
    marks: new FragileDisk(Buffer.alloc(overlayMapBytes(size))),
  };
  const allowed = new Allowed(base);
  const power = { left: at };
  try {
    await script(await open(disks, base, power), allowed, random);
    return null;
  } catch (error) {
    if (!(error instanceof Crash)) throw error;
  }
  const after = seededRandom(at);
  const left = { changes: disks.changes.crash(after, kind), marks: disks.marks.crash(after, kind) };
  const found = Buffer.alloc(size);
  await (await open(left, base, { left: Infinity })).read(found, 0);
  return allowed.wrong(found);
}

async function crashEverywhere(t: Test, kind: 'kill' | 'power cut'): Promise<void> {
  const seed = chooseSeed(t);
  for (let round = 0; round < 4; round++) {
    let wrong: number[] | null = [];
    for (let at = 0; wrong !== null; at++) {
      wrong = await crashAt(seed + round, at, kind);
      if (wrong !== null && wrong.length > 0) t.fail(`sectors ${wrong.join()} after a crash at call ${at}`);
    }
  }
  t.pass('every call');
}

t.test('after a kill at any call, what was flushed is there, and nothing strange', async (t) => {
  await crashEverywhere(t, 'kill');
});

t.test('after a power cut at any call, what was flushed is there, and nothing strange', async (t) => {
  await crashEverywhere(t, 'power cut');
});

t.test('marks of another disk or moment are not taken', async (t) => {
  const marks = memoryStore(overlayMapBytes(size));
  await OverlayMap.open(marks, of);
  await OverlayMap.open(marks, of);
  await t.rejects(OverlayMap.open(marks, { ...of, lsn: 8 }), { code: 'damaged' });
  await t.rejects(OverlayMap.open(marks, { ...of, size: size - 512 }), { code: 'damaged' });
});

t.test('a header that was torn while it was made is made again, but not over marks', async (t) => {
  const marks = memoryStore(overlayMapBytes(size));
  await marks.write(Buffer.from('HWSCRATC'), 0);
  const map = await OverlayMap.open(marks, of);
  map.changed.mark(0, 1);
  await map.save(map.changed.takeChanged());
  await marks.write(Buffer.alloc(8), 16);
  await t.rejects(OverlayMap.open(marks, of), { code: 'damaged' });
});

t.test('a mark at the end of a disk of 64 TiB is found again', async (t) => {
  const huge = { size: 64 * 2 ** 40, lsn: 1 };
  const marks = memoryStore(overlayMapBytes(huge.size));
  const map = await OverlayMap.open(marks, huge);
  const last = huge.size / overlayBlockBytes - 1;
  map.changed.mark(last, last + 1);
  map.changed.mark(3, 5);
  await map.save(map.changed.takeChanged());
  map.changed.mark(7, 8);
  const again = await OverlayMap.open(marks, huge);
  t.equal(again.changed.count, 3);
  t.ok(again.changed.has(last) && again.changed.has(3) && again.changed.has(4));
});

t.test('overlays share their room, and after a restart what is stored counts', async (t) => {
  const changes = [memoryStore(size), memoryStore(size)];
  const marks = [memoryStore(overlayMapBytes(size)), memoryStore(overlayMapBytes(size))];
  const openAll = async (): Promise<BlockStore[]> => {
    const room = new OverlayRoom(4 * overlayBlockBytes);
    const opened: BlockStore[] = [];
    for (const [index, store] of changes.entries()) {
      const map = await OverlayMap.open(marks[index]!, of);
      opened.push(await openOverlay({ base: memoryStore(size), changes: store, room }, map));
    }
    return opened;
  };
  const [a, b] = await openAll();
  await a!.write(Buffer.alloc(3 * overlayBlockBytes, 1), 0);
  await b!.write(Buffer.alloc(overlayBlockBytes, 2), 0);
  await t.rejects(b!.write(Buffer.alloc(1, 2), overlayBlockBytes), { code: 'ENOSPC' });
  await a!.flush();
  const [again, other] = await openAll();
  await other!.write(Buffer.alloc(overlayBlockBytes, 3), 0); // what was never flushed takes no room
  await t.rejects(other!.write(Buffer.alloc(1, 2), overlayBlockBytes), { code: 'ENOSPC' });
  await again!.zero(0, overlayBlockBytes, { punch: true });
  await other!.write(Buffer.alloc(1, 2), overlayBlockBytes);
  const found = Buffer.alloc(2 * overlayBlockBytes);
  await again!.read(found, 0);
  t.ok(found.equals(Buffer.concat([Buffer.alloc(overlayBlockBytes), Buffer.alloc(overlayBlockBytes, 1)])));
});

t.test('after a flush that failed nothing is taken any more', async (t) => {
  const changes = memoryStore(size);
  let fails = true;
  const failing: BlockStore = {
    ...changes,
    size,
    read: (target, offset) => changes.read(target, offset),
    write: (source, offset) => changes.write(source, offset),
    zero: (offset, length, options) => changes.zero(offset, length, options),
    extents: (offset, length) => changes.extents(offset, length),
    flush: () => (fails ? Promise.reject(Object.assign(new Error('EIO'), { code: 'EIO' })) : changes.flush()),
  };
  const map = await OverlayMap.open(memoryStore(overlayMapBytes(size)), of);
  const overlay = await openOverlay({ base: memoryStore(size), changes: failing }, map);
  await overlay.write(Buffer.alloc(10, 1), 0);
  await t.rejects(overlay.flush(), { code: 'EIO' });
  fails = false;
  await t.rejects(overlay.flush(), { code: 'EIO' }, 'the kernel may have dropped what was not written');
  await t.rejects(overlay.write(Buffer.alloc(10, 1), 0), { code: 'EIO' });
  const target = Buffer.alloc(10);
  await overlay.read(target, 0);
  t.ok(target.equals(Buffer.alloc(10, 1)));
});
