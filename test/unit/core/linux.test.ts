// Checks the Linux calls that Node lacks against real files.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import t, { type Test } from 'tap';
import {
  allocate,
  deviceSize,
  punchHole,
  seekData,
  seekHole,
  tryLock,
  zeroDevice,
  zeroRange,
} from '../../../core/linux.ts';

const GiB = 2 ** 30;

function temporaryFile(t: Test): { path: string; fd: number } {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'homeward-linux-'));
  const file = path.join(directory, 'file');
  const fd = fs.openSync(file, 'w+');
  t.teardown(() => {
    fs.closeSync(fd);
    fs.rmSync(directory, { recursive: true });
  });
  return { path: file, fd };
}

t.test('a second open file does not get the lock until the first is closed', (t) => {
  const { path, fd } = temporaryFile(t);
  const other = fs.openSync(path, 'r');
  const third = fs.openSync(path, 'r');
  t.equal(tryLock(other), true);
  t.equal(tryLock(fd), false);
  fs.closeSync(other);
  t.equal(tryLock(third), true);
  fs.closeSync(third);
  t.end();
});

t.test('allocating grows the file, keeps its content and takes space on disk', (t) => {
  const { fd } = temporaryFile(t);
  fs.writeSync(fd, 'kept', 0);
  allocate(fd, 0, 1024 * 1024);
  const stat = fs.fstatSync(fd);
  t.equal(stat.size, 1024 * 1024);
  t.ok(stat.blocks * 512 >= 1024 * 1024);
  const start = Buffer.alloc(5);
  fs.readSync(fd, start, 0, 5, 0);
  t.same(start, Buffer.from('kept\0'));
  t.end();
});

t.test('holes are punched and found beyond four gigabytes', async (t) => {
  const { fd } = temporaryFile(t);
  const at = 5 * GiB;
  fs.ftruncateSync(fd, 6 * GiB);
  fs.writeSync(fd, Buffer.alloc(256 * 1024, 7), 0, 256 * 1024, at);
  t.equal(seekData(fd, 0), at);
  t.equal(seekHole(fd, at), at + 256 * 1024);
  t.equal(seekData(fd, at + 256 * 1024), null, 'only a hole follows');
  t.equal(seekHole(fd, 7 * GiB), null, 'beyond the end');
  await punchHole(fd, at, 64 * 1024);
  t.equal(seekData(fd, 0), at + 64 * 1024);
  await zeroRange(fd, at + 64 * 1024, 64 * 1024);
  const zeroed = Buffer.alloc(1, 1);
  fs.readSync(fd, zeroed, 0, 1, at + 64 * 1024);
  t.equal(zeroed[0], 0);
  t.equal(fs.fstatSync(fd).size, 6 * GiB);
});

t.test('a failure carries the name of its errno and of the call, as node:fs has them', async (t) => {
  const { fd } = temporaryFile(t);
  const errno = -os.constants.errno.EINVAL;
  t.throws(() => allocate(fd, 0, 0), { code: 'EINVAL', errno, syscall: 'fallocate' });
  t.throws(() => deviceSize(fd), { code: 'ENOTTY', syscall: 'ioctl' });
  await t.rejects(punchHole(9999, 0, 4096), { code: 'EBADF', syscall: 'fallocate' });
  await t.rejects(zeroDevice(fd, 0, 4096), { code: 'ENOTTY', syscall: 'ioctl' });
});

t.test('more calls at once than the thread pool takes all come to their end', async (t) => {
  const { fd } = temporaryFile(t);
  const size = 1000 * 4096;
  fs.writeSync(fd, Buffer.alloc(size, 1), 0, size, 0);
  await Promise.all(Array.from({ length: 1000 }, (_, index) => punchHole(fd, index * 4096, 4096)));
  t.equal(seekData(fd, 0), null);
});
