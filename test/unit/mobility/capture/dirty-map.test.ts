// Checks the dirty map: durable ahead of the write, all dirty where it is damaged, cleared only when it may
// be.
import t from 'tap';
import { crc32 } from 'node:zlib';
import { silentLog } from '../../../../core/log.ts';
import { limits } from '../../../../core/limits.ts';
import { MiB } from '../../../../core/units.ts';
import { regionBytes } from '../../../../mobility/capture/captured-disks.ts';
import { DirtyMap, type StoppedBefore } from '../../../../mobility/capture/dirty-map.ts';
import { dirtyPageBytes, pageRegions } from '../../../../mobility/capture/dirty-pages.ts';
import type { SimulatedFiles } from '../../../support/simulated-files.ts';
import { machine, simulatedFiles, turns } from './front-fixture.ts';

const file = '/data/disk0.map';
const idleMs = limits.dirtyIdleMs + 1000;

interface Wanted {
  size?: number;
  disk?: string;
  before?: StoppedBefore;
}

function open(files: SimulatedFiles, { size = 100 * regionBytes, disk = 'disk0', before }: Wanted = {}) {
  const identity = { machine, disk, size };
  return DirtyMap.open({ path: file, identity, before: before ?? { clean: false }, log: silentLog, files });
}

/** A map with nothing in it. */
async function openClear(files: SimulatedFiles, wanted: Wanted = {}): Promise<DirtyMap> {
  const map = await open(files, wanted);
  for (const region of map.hold()) map.copied(region, 0);
  map.clear(map.candidates(0, idleMs), 0);
  return map;
}

const entered = (map: DirtyMap, region: number, bytes = 1): Promise<Error | null> =>
  new Promise((resolve) => {
    const start = region * regionBytes;
    if (map.enter(start, start + bytes, resolve)) resolve(null);
  });

function patch(files: SimulatedFiles, position: number, bytes: Buffer): void {
  const fd = files.open(file);
  files.write(fd, [bytes], position);
  files.close(fd);
}

t.test('a disk without a map is dirty as a whole, and needs a sync', async (t) => {
  const map = await open(simulatedFiles(), { size: 10 * regionBytes + 512 });
  t.equal(map.found, 'missing');
  t.same(map.regions(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  t.ok(map.needsSync);
});

t.test('a region is durable in the map before the write may begin, whatever a power cut takes', async (t) => {
  const files = simulatedFiles();
  const map = await openClear(files);
  t.equal(await entered(map, 7), null);
  t.equal(await entered(map, 98, 2 * regionBytes), null);
  for (const mode of ['drop', 'keep', 'mixed'] as const) {
    const regions = (await open(files.crash({ mode }))).regions();
    t.ok(
      [7, 98, 99].every((region) => regions.includes(region)),
      mode,
    );
  }
});

t.test('a region that is in costs nothing; many that come together share one sync', async (t) => {
  const files = simulatedFiles();
  const map = await openClear(files);
  let syncs = 0;
  files.onCall = (name) => {
    if (name === 'sync') syncs += 1;
  };
  await Promise.all([3, 4, 3, 90].map((region) => entered(map, region)));
  t.equal(syncs, 1);
  t.ok(map.enter(3 * regionBytes, 3 * regionBytes + 1, () => t.fail('nothing to wait for')));
  const late = entered(map, 10);
  await turns(1);
  await Promise.all([late, entered(map, 10), entered(map, 11)]);
  t.ok(syncs <= 3);
});

t.test('a torn or damaged page counts as all dirty, the others as they are', async (t) => {
  const size = (2 * pageRegions + 5) * regionBytes;
  for (const [what, damage] of [
    ['a flipped bit', (page: Buffer) => (page[100]! ^= 1)],
    ['half of it', (page: Buffer) => page.fill(0, 256)],
    ['zeros', (page: Buffer) => page.fill(0)],
  ] as const) {
    const files = simulatedFiles();
    const map = await openClear(files, { size });
    await entered(map, 5);
    await entered(map, pageRegions);
    const page = Buffer.alloc(dirtyPageBytes);
    const fd = files.open(file);
    files.readSync(fd, page, 2 * dirtyPageBytes);
    files.close(fd);
    damage(page);
    patch(files, 2 * dirtyPageBytes, page);
    const found = await open(files, { size, before: { clean: true, headLsn: 0 } });
    t.equal(found.found, 'damaged', what);
    t.ok(found.needsSync);
    t.equal(found.dirtyCount, pageRegions + 1);
    t.ok(found.regions().includes(5));
    t.equal((await open(files.crash({ mode: 'drop' }), { size })).found, 'kept', 'it is written anew');
  }
});

t.test('a page of another map, or in the place of another, is damaged', async (t) => {
  const files = simulatedFiles();
  const size = 2 * pageRegions * regionBytes;
  await openClear(files, { size });
  const page = Buffer.alloc(dirtyPageBytes);
  const fd = files.open(file);
  files.readSync(fd, page, dirtyPageBytes);
  files.close(fd);
  patch(files, 2 * dirtyPageBytes, page);
  t.equal((await open(files, { size })).dirtyCount, pageRegions);
  page.writeUInt32LE(1234, 4);
  page.writeUInt32LE(crc32(page.subarray(0, 508)), 508);
  patch(files, dirtyPageBytes, page);
  t.equal((await open(files, { size })).dirtyCount, 2 * pageRegions);
});

t.test('a map of another size, disk or machine, or a short one, says nothing', async (t) => {
  for (const wanted of [{ size: 101 * regionBytes }, { disk: 'disk1' }]) {
    const files = simulatedFiles();
    await openClear(files);
    const map = await open(files, wanted);
    t.equal(map.found, 'other');
    t.equal(map.dirtyCount, (wanted.size ?? 100 * regionBytes) / regionBytes);
  }
  const files = simulatedFiles();
  await openClear(files);
  const identity = { machine: Buffer.alloc(16, 1), disk: 'disk0', size: 100 * regionBytes };
  const map = await DirtyMap.open({ path: file, identity, before: { clean: false }, log: silentLog, files });
  t.equal(map.found, 'other');
});

t.test('after a clean stop a region waits for the newest LSN, after any other for a sync', async (t) => {
  const files = simulatedFiles();
  const first = await openClear(files);
  await entered(first, 4);
  const clean = await open(files, { before: { clean: true, headLsn: 50 } });
  t.notOk(clean.needsSync);
  t.same(clean.candidates(49, idleMs).regions, []);
  t.same(clean.candidates(50, idleMs).regions, [4]);
  const unclean = await open(files);
  t.ok(unclean.needsSync);
  t.same(unclean.candidates(50, idleMs).regions, []);
});

t.test('a region leaves only when idle, acknowledged, recorded, not in flight and not held', async (t) => {
  const map = await openClear(simulatedFiles());
  const start = 3 * regionBytes;
  await entered(map, 3);
  t.same(map.candidates(1000, idleMs).regions, [], 'in flight');
  map.leave(start, start + 1, 8, 1000);
  t.same(map.candidates(7, 1000 + idleMs).regions, [], 'not at the target');
  t.same(map.candidates(8, 2000).regions, [], 'hot');
  const candidates = map.candidates(8, 1000 + idleMs);
  t.same(candidates.regions, [3]);
  await entered(map, 3);
  map.leave(start, start + 1, 9, 2000);
  t.equal(map.clear(candidates, 9), 0, 'written while the disk was flushed');
  t.equal(map.clear(map.candidates(9, 2000 + idleMs), 9), 1);
  t.same(map.regions(), []);
  await entered(map, 3);
  map.leave(start, start + 1, null, 3000);
  t.same(map.candidates(1000, 3000 + idleMs).regions, [], 'nobody recorded it');
  t.same(map.hold(), [3]);
  t.same(map.candidates(1000, 3000 + idleMs).regions, [], 'held');
  map.copied(3, 20);
  t.same(map.candidates(19, 3000 + idleMs).regions, [], 'its copy is not at the target');
  t.same(map.candidates(20, 3000 + idleMs).regions, [3]);
});

t.test('what got no record while a sync runs stays for this sync or the next', async (t) => {
  const map = await openClear(simulatedFiles());
  await entered(map, 1);
  map.leave(regionBytes, regionBytes + 1, 1, 0);
  t.same(map.hold(), [1]);
  for (const region of [1, 2]) {
    await entered(map, region);
    map.leave(region * regionBytes, region * regionBytes + 1, null, 0);
  }
  map.copied(1, 5);
  t.ok(map.needsSync);
  t.same(map.candidates(9, idleMs).regions, []);
  t.same(map.holdAgain(), [1, 2]);
  t.same(map.holdAgain(), []);
  map.copied(1, 6);
  map.copied(2, 7);
  t.notOk(map.needsSync);
  t.same(map.candidates(7, idleMs).regions, [1, 2]);
});

t.test(
  'bits that came back after a power cut are harmless, cleared ones do not take others along',
  async (t) => {
    const files = simulatedFiles();
    const map = await openClear(files);
    for (const region of [1, 2]) {
      await entered(map, region);
      map.leave(region * regionBytes, region * regionBytes + MiB, 5, 0);
    }
    await entered(map, 2);
    map.clear(map.candidates(5, idleMs), 5);
    t.same(map.regions(), [2]);
    for (let seed = 1; seed < 20; seed += 1) {
      t.ok((await open(files.crash({ seed }))).regions().includes(2), `seed ${seed}`);
    }
  },
);

t.test('after a sync that failed the map is a new file, and nothing of it is lost', async (t) => {
  const files = simulatedFiles();
  const map = await openClear(files);
  await entered(map, 1);
  files.faults.failAt(1, 'EIO', ['sync']);
  t.equal(await entered(map, 2), null);
  const regions = (await open(files.crash({ mode: 'drop' }))).regions();
  t.ok(regions.includes(1) && regions.includes(2));
});

t.test(
  'while the map cannot be written, writes into regions that are not in fail, the others go on',
  async (t) => {
    const files = simulatedFiles();
    const map = await openClear(files);
    await entered(map, 1);
    files.faults.failFrom(1, 'EIO', ['sync', 'create']);
    t.match(await entered(map, 2), Error);
    t.equal(await entered(map, 1), null);
    t.match(await entered(map, 2), Error, 'and again');
    files.faults.clear();
    t.equal(await entered(map, 2), null, 'until it can be written again');
    t.ok((await open(files.crash({ mode: 'drop' }))).regions().includes(2));
  },
);

t.test('everything can be put in, durably', async (t) => {
  const files = simulatedFiles();
  const map = await openClear(files);
  await map.fill();
  t.equal(map.dirtyCount, 100);
  t.ok(map.needsSync);
  t.equal((await open(files.crash({ mode: 'drop' }))).dirtyCount, 100);
});

t.test('what is marked waits for a sync, durably, and a sync under way takes it in', async (t) => {
  const files = simulatedFiles();
  const map = await openClear(files);
  t.notOk(map.needsSync);
  await map.mark(7 * regionBytes + 5, 9 * regionBytes);
  t.ok(map.needsSync);
  t.same(map.regions(), [7, 8]);
  t.same(
    (await open(files.crash({ mode: 'drop' }))).regions().includes(8),
    true,
    'a power cut does not take it',
  );
  map.clear(map.candidates(100, idleMs), 100);
  t.same(map.regions(), [7, 8], 'no acknowledgement takes it out');
  t.same(map.hold(), [7, 8]);
  await map.mark(20 * regionBytes, 20 * regionBytes + 1);
  t.same(map.holdAgain(), [20], 'behind the beginning of a sync it is copied before the end');
  for (const region of [7, 8, 20]) map.copied(region, 50);
  t.notOk(map.needsSync);
  map.clear(map.candidates(50, idleMs), 50);
  t.same(map.regions(), []);
});
