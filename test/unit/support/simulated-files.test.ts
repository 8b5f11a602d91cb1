// Checks that the simulated file system loses, keeps and tears exactly what a real one may.
import t from 'tap';
import { chooseSeed, seededRandom } from '../../support/random.ts';
import { SimulatedCrash, SimulatedFiles } from '../../support/simulated-files.ts';

const sector = (value: number): Buffer => Buffer.alloc(512, value);

function content(files: SimulatedFiles, path: string): Buffer {
  const fd = files.open(path);
  const bytes = Buffer.alloc(files.size(fd));
  files.readSync(fd, bytes, 0);
  files.close(fd);
  return bytes;
}

async function durableFile(files: SimulatedFiles, path: string, bytes: Buffer): Promise<number> {
  const fd = files.create(path);
  files.write(fd, [bytes], 0);
  await files.sync(fd);
  await files.syncDirectory('/d');
  return fd;
}

const withDirectory = (capacityBytes = Infinity): SimulatedFiles =>
  new SimulatedFiles({ directories: ['/d'], capacityBytes });

t.test('content written but not synced is lost with the power, and there after a kill', async (t) => {
  const files = withDirectory();
  const fd = await durableFile(files, '/d/a', sector(1));
  files.write(fd, [sector(2), sector(3)], 0);
  t.same(content(files.crash({ mode: 'drop' }), '/d/a'), sector(1));
  t.same(content(files.crash({ mode: 'keep' }), '/d/a'), Buffer.concat([sector(2), sector(3)]));
  const killed = files.kill();
  t.same(content(killed, '/d/a'), Buffer.concat([sector(2), sector(3)]));
  t.same(content(killed.crash({ mode: 'drop' }), '/d/a'), sector(1), 'it is still not durable');
  t.throws(() => files.open('/d/a'), { name: 'SimulatedCrash' }, 'the killed process does nothing any more');
});

t.test('a sync covers what was written before it, not what is written while it runs', async (t) => {
  const files = withDirectory();
  const fd = await durableFile(files, '/d/a', Buffer.concat([sector(1), sector(1)]));
  files.write(fd, [sector(2)], 0);
  const syncing = files.sync(fd);
  files.write(fd, [sector(3)], 512);
  const before = Buffer.concat([sector(1), sector(1)]);
  t.same(content(files.crash({ mode: 'drop' }), '/d/a'), before, 'not done yet');
  await syncing;
  t.same(content(files.crash({ mode: 'drop' }), '/d/a'), Buffer.concat([sector(2), sector(1)]));
});

t.test('a torn write leaves each sector as it was at some moment, and all mixes are met', async (t) => {
  const files = withDirectory();
  const fd = await durableFile(files, '/d/a', Buffer.concat([sector(0), sector(0)]));
  files.write(fd, [sector(1), sector(1)], 0);
  files.write(fd, [sector(2), sector(2)], 0);
  const seen = new Set<string>();
  for (let seed = 0; seed < 500; seed += 1) {
    const bytes = content(files.crash({ seed }), '/d/a');
    for (const half of [bytes.subarray(0, 512), bytes.subarray(512)]) t.ok(half.equals(sector(half[0] ?? 9)));
    seen.add(`${bytes[0]}${bytes[512]}`);
  }
  t.same([...seen].sort(), ['00', '01', '02', '10', '11', '12', '20', '21', '22']);
  const again = (): Buffer => content(files.crash({ seed: 7 }), '/d/a');
  t.same(again(), again(), 'a seed repeats');
});

t.test('names become durable with a sync of their directory, apart from the content', async (t) => {
  const files = withDirectory();
  const fd = files.create('/d/a');
  files.write(fd, [sector(1)], 0);
  await files.sync(fd);
  t.same(files.crash({ mode: 'drop' }).list('/d'), []);
  await files.syncDirectory('/d');
  t.same(files.crash({ mode: 'drop' }).list('/d'), ['a']);
  files.rename('/d/a', '/d/b');
  const names = new Set([1, 2, 3, 4, 5, 6, 7, 8].map((seed) => files.crash({ seed }).list('/d').join()));
  t.same([...names].sort(), ['a', 'b'], 'renamed or not, never both or neither');
  await files.syncDirectory('/d');
  files.unlink('/d/b');
  t.same(content(files.crash({ mode: 'drop' }), '/d/b'), sector(1));
  files.ensureDirectory('/d/e/f');
  files.create('/d/e/f/g');
  t.same(files.crash({ mode: 'keep' }).list('/d/e/f'), ['g']);
  t.throws(() => files.crash({ mode: 'drop' }).list('/d/e'), { code: 'ENOENT' });
});

t.test('a rename whose content was never synced leaves a name with nothing in it', async (t) => {
  const files = withDirectory();
  const fd = files.create('/d/new');
  files.write(fd, [sector(1)], 0);
  files.rename('/d/new', '/d/a');
  await files.syncDirectory('/d');
  t.equal(content(files.crash({ mode: 'drop' }), '/d/a').length, 0);
});

t.test('after a failed sync the next succeeds without writing what the first should have', async (t) => {
  const files = withDirectory();
  const fd = await durableFile(files, '/d/a', Buffer.concat([sector(1), sector(1)]));
  files.write(fd, [sector(2)], 0);
  files.faults.failAt(1, 'EIO', ['sync']);
  await t.rejects(files.sync(fd), { code: 'EIO' });
  files.write(fd, [sector(3)], 512);
  await files.sync(fd);
  t.same(content(files, '/d/a'), Buffer.concat([sector(2), sector(3)]), 'what is in memory reads back');
  t.same(content(files.crash({ mode: 'drop' }), '/d/a'), Buffer.concat([sector(1), sector(3)]));
});

t.test('a full disk fails allocate, create and growing writes, but not writes in place', async (t) => {
  const files = withDirectory(8192);
  const fd = files.create('/d/a');
  t.throws(() => files.allocate(fd, 8193), { code: 'ENOSPC', syscall: 'fallocate' });
  files.allocate(fd, 8192);
  files.write(fd, [sector(1)], 8192 - 512);
  t.throws(() => files.write(fd, [sector(1), sector(2)], 8192 - 512), { code: 'ENOSPC' });
  t.equal(files.size(fd), 8192);
  t.throws(() => files.create('/d/b'), { code: 'ENOSPC' });
  files.capacityBytes = 4096;
  files.write(fd, [sector(3)], 0);
  files.unlink('/d/a');
  t.throws(() => files.create('/d/b'), { code: 'ENOSPC' }, 'an open file keeps its space');
  files.close(fd);
  files.create('/d/b');
});

t.test('calls fail once or from there on, and a crash can be put at every one of them', async (t) => {
  const files = withDirectory();
  files.faults.failAt(2, 'EIO');
  const fd = files.create('/d/a');
  t.throws(() => files.write(fd, [sector(1)], 0), { code: 'EIO', errno: -5 });
  files.write(fd, [sector(1)], 0);
  files.faults.failFrom(1, 'ENOSPC', ['allocate']);
  files.write(fd, [sector(1)], 512);
  t.throws(() => files.allocate(fd, 4096), { code: 'ENOSPC' });
  t.throws(() => files.allocate(fd, 4096), { code: 'ENOSPC' });
  t.equal(files.faults.injected, 3);
  files.faults.clear();
  const calls: string[] = [];
  files.onCall = (name, n) => {
    calls.push(`${n} ${name}`);
    if (name === 'write') throw new SimulatedCrash(0.5);
  };
  files.allocate(fd, 4096);
  t.throws(() => files.write(fd, [sector(8)], 0), { name: 'SimulatedCrash' });
  t.same(calls, ['7 allocate', '8 write']);
  t.equal(content(files.kill(), '/d/a').indexOf(1), 256, 'half of the write was done');
});

t.test('a shrunk file that grows again reads zeros, also after a power cut', async (t) => {
  const files = withDirectory();
  const fd = await durableFile(files, '/d/a', Buffer.concat([sector(1), sector(2)]));
  files.allocate(fd, 600);
  files.allocate(fd, 1024);
  const expected = Buffer.concat([sector(1), sector(2).subarray(0, 88), Buffer.alloc(424)]);
  t.same(content(files, '/d/a'), expected);
  await files.sync(fd);
  t.same(content(files.crash({ mode: 'drop' }), '/d/a'), expected);
});

t.test('whatever is synced survives every power cut', async (t) => {
  const seed = chooseSeed(t);
  const random = seededRandom(seed);
  const files = withDirectory();
  const fd = await durableFile(files, '/d/a', Buffer.alloc(8192));
  const model = Buffer.alloc(8192);
  for (let round = 0; round < 300; round += 1) {
    const bytes = random.bytes(1 + random.below(1500));
    const at = random.below(8192 - bytes.length);
    files.write(fd, [bytes], at);
    model.set(bytes, at);
    if (random.chance(0.7)) continue;
    await files.sync(fd);
    t.ok(content(files.crash({ seed: random.below(1e9) }), '/d/a').equals(model));
  }
});

t.test('zeroing is a write: it may be lost, tear and fail, and looking for holes may fail too', async (t) => {
  const files = withDirectory();
  const fd = await durableFile(files, '/d/a', Buffer.concat([sector(1), sector(2)]));
  await files.zero(fd, 0, 1024);
  t.same(content(files, '/d/a'), Buffer.alloc(1024));
  t.same(content(files.crash({ mode: 'drop' }), '/d/a'), Buffer.concat([sector(1), sector(2)]));
  const seen = new Set<string>();
  for (let seed = 0; seed < 100; seed += 1) {
    const bytes = content(files.crash({ seed }), '/d/a');
    seen.add(`${bytes[0]}${bytes[512]}`);
  }
  t.same([...seen].sort(), ['00', '02', '10', '12']);
  for (const call of ['zero', 'nextData', 'nextHole'] as const) files.faults.failAt(1, 'EIO', [call]);
  await t.rejects(files.zero(fd, 0, 512), { code: 'EIO' });
  t.throws(() => files.nextData(fd, 0), { code: 'EIO' });
  t.throws(() => files.nextHole(fd, 0), { code: 'EIO' });
  t.equal(files.faults.injected, 3);
});
