// Checks the host's file system behind the seam, side by side with the simulated one.
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import type { Files } from '../../../../core/files/files.ts';
import { hostFiles } from '../../../../core/files/host-files.ts';
import { SimulatedFiles } from '../../../support/simulated-files.ts';
import { temporaryDirectory } from '../../../support/temporary.ts';

const simulated = (): Files => new SimulatedFiles({ directories: ['/d'] });

for (const [name, makeFiles] of [
  ['host', () => hostFiles],
  ['simulated', simulated],
] as const) {
  t.test(`the ${name} file system creates, allocates, writes, reads, renames and lists`, async (t) => {
    const files = makeFiles();
    const directory = name === 'host' ? temporaryDirectory(t) : '/d';
    const at = (file: string): string => path.join(directory, file);
    const fd = files.create(at('a'));
    t.throws(() => files.create(at('a')), { code: 'EEXIST' });
    t.throws(() => files.open(at('missing')), { code: 'ENOENT' });
    t.throws(() => files.create(at('no/such/directory')), { code: 'ENOENT' });
    files.write(fd, [Buffer.from('one'), Buffer.alloc(0), Buffer.from('two')], 2);
    files.allocate(fd, 4096);
    t.equal(files.size(fd), 4096);
    t.ok(files.freeBytes(path.dirname(at('a'))) > 0);
    const target = Buffer.alloc(10);
    t.equal(await files.read(fd, target, 0), 10);
    t.same(target, Buffer.from('\0\0onetwo\0\0'));
    files.allocate(fd, 4);
    t.equal(files.size(fd), 4, 'allocate sets the size');
    files.allocate(fd, 10);
    t.equal(files.readSync(fd, target, 3), 7, 'a read ends with the file');
    t.same(target.subarray(0, 7), Buffer.from('n\0\0\0\0\0\0'));
    await files.sync(fd);
    files.rename(at('a'), at('b'));
    files.ensureDirectory(at('c/d'));
    files.ensureDirectory(at('c/d'));
    await files.syncDirectory(directory);
    t.same([...files.list(directory)].sort(), ['b', 'c']);
    files.close(fd);
    t.throws(() => files.size(fd), { code: 'EBADF' });
    const again = files.open(at('b'));
    t.equal(files.size(again), 10);
    files.close(again);
    files.unlink(at('b'));
    t.same(files.list(directory), ['c']);
    await t.rejects(files.syncDirectory(at('missing')), { code: 'ENOENT' });
  });
}

t.test('allocated space is really there', (t) => {
  const file = path.join(temporaryDirectory(t), 'a');
  const fd = hostFiles.create(file);
  hostFiles.allocate(fd, 1024 * 1024);
  t.ok(fs.statSync(file).blocks * 512 >= 1024 * 1024);
  hostFiles.close(fd);
  t.end();
});

for (const [name, makeFiles] of [
  ['host', () => hostFiles],
  ['simulated', simulated],
] as const) {
  t.test(`the ${name} file system zeroes, and tells holes from data`, async (t) => {
    const files = makeFiles();
    const directory = name === 'host' ? temporaryDirectory(t) : '/d';
    const fd = files.create(path.join(directory, 'a'));
    const block = 64 * 1024;
    files.write(fd, [Buffer.alloc(1, 1)], 8 * block - 1);
    t.equal(files.nextData(fd, 0), 8 * block - 4096);
    files.write(fd, [Buffer.alloc(2 * block, 7)], 2 * block);
    t.equal(files.nextData(fd, 0), 2 * block);
    t.equal(files.nextData(fd, 2 * block + 5), 2 * block + 5);
    t.equal(files.nextHole(fd, 2 * block), 4 * block);
    t.equal(files.nextHole(fd, 5 * block + 1), 5 * block + 1);
    t.equal(files.nextHole(fd, 8 * block - 1), 8 * block, 'the end counts as a hole');
    t.equal(files.nextData(fd, 8 * block), null);
    t.equal(files.nextHole(fd, 8 * block), null);
    await files.zero(fd, 2 * block - 3, block + 3 + 512);
    t.equal(files.nextData(fd, 0), 3 * block);
    const left = Buffer.alloc(block);
    files.readSync(fd, left, 3 * block);
    t.same(left, Buffer.concat([Buffer.alloc(512), Buffer.alloc(block - 512, 7)]), 'parts of blocks too');
    await files.zero(fd, 8 * block - 4096, 4096);
    t.equal(files.nextData(fd, 4 * block), null, 'nothing follows');
    t.equal(files.size(fd), 8 * block);
    await t.rejects(files.zero(fd, 8 * block - 512, 1024), { name: 'RangeError' }, 'the file does not grow');
    files.close(fd);
  });
}
