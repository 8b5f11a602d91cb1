// How disks, targets, parts and addresses are spelled on the command line.
import path from 'node:path';
import t from 'tap';
import {
  parseCount,
  parseDisk,
  parsePart,
  parseSeed,
  parseTarget,
  resolveListen,
  splitOperands,
} from '../../../cli/operands.ts';

const resolve = (file: string): string => path.resolve('/srv/op', file);

t.test('the machine is the operand without a "=", wherever it stands', async (t) => {
  t.same(splitOperands(['web', 'a=1', 'b=2'], '--disk'), { machine: 'web', more: ['a=1', 'b=2'] });
  t.same(splitOperands(['a=1', 'web'], '--disk'), { machine: 'web', more: ['a=1'] });
  t.throws(() => splitOperands(['a=1'], '--disk'), { code: 'usage', message: 'the machine is missing' });
  t.throws(() => splitOperands(['web', 'db'], '--disk'), { code: 'usage', message: /"db"/ });
});

t.test('a disk has a name, a size and perhaps a device', async (t) => {
  t.same(parseDisk('root=20G', resolve), { name: 'root', sizeBytes: 20 * 1024 ** 3 });
  t.same(parseDisk('d=512@/dev/disk/by-id/scsi-3600@x', resolve), {
    name: 'd',
    sizeBytes: 512,
    device: '/dev/disk/by-id/scsi-3600@x',
  });
  t.same(parseDisk('d=512@scsi-3600', resolve), { name: 'd', sizeBytes: 512, device: 'scsi-3600' });
  t.same(parseDisk('d=512@./loop', resolve), { name: 'd', sizeBytes: 512, device: '/srv/op/loop' });
  for (const text of ['root', '=20G', 'root=', 'root=20G@', 'root=@/dev/x']) {
    t.throws(() => parseDisk(text, resolve), { code: 'usage', message: `"${text}" is not a disk` });
  }
  t.throws(() => parseDisk('root=much', resolve), { code: 'bad-size' });
});

t.test('a target is a format with a directory, or devices by the name of the disk', async (t) => {
  t.same(parseTarget(['raw:out'], [], resolve), { kind: 'raw', directory: '/srv/op/out' });
  t.same(parseTarget(['vmdk:/a b:c'], [], resolve), { kind: 'vmdk', directory: '/a b:c' });
  const two = {
    kind: 'block',
    devices: [
      { disk: 'a', device: '/dev/sdx' },
      { disk: 'b', device: '/dev/sdy' },
    ],
  };
  t.same(parseTarget(['block:a=/dev/sdx'], ['b=/dev/sdy'], resolve), two);
  t.same(parseTarget(['block:a=/dev/sdx', 'block:b=/dev/sdy'], [], resolve), two);
});

t.test('what is no target is refused with its own code', async (t) => {
  t.throws(() => parseTarget([], [], resolve), { code: 'usage' });
  t.same(parseTarget(['in-place'], [], resolve), { kind: 'in-place' });
  t.throws(() => parseTarget(['in-place', 'raw:a'], [], resolve), { code: 'bad-target' });
  for (const texts of [
    ['raw:'],
    ['tape:x'],
    ['raw'],
    ['block:a'],
    ['block:=x'],
    ['raw:a', 'raw:b'],
    ['block:a=/x', 'raw:b'],
  ]) {
    t.throws(() => parseTarget(texts, [], resolve), { code: 'bad-target' }, texts.join(' '));
  }
  t.throws(() => parseTarget(['raw:a'], ['b=/dev/sdy'], resolve), { code: 'bad-target' });
});

t.test('only the path of a Unix socket is made absolute', async (t) => {
  t.equal(resolveListen('unix:web.sock', resolve), 'unix:/srv/op/web.sock');
  t.equal(resolveListen('tcp:localhost:10809', resolve), 'tcp:localhost:10809');
  t.equal(resolveListen('unix:', resolve), 'unix:', 'for the daemon to refuse');
});

t.test('a part is the n-th of t', async (t) => {
  t.same(parsePart('2/7'), { n: 2, of: 7 });
  for (const text of ['0/7', '8/7', '2', '2/', 'a/b', '1.5/2', '-1/2'])
    t.throws(() => parsePart(text), { code: 'usage' });
});

t.test('a seed is a path on the master target, whose ending says what it is', async (t) => {
  t.same(parseSeed('root=/old/root.QCOW2'), { disk: 'root', path: '/old/root.QCOW2', format: 'qcow2' });
  t.match(parseSeed('root=/old/root.vmdk'), { format: 'vmdk' });
  t.match(parseSeed('root=/dev/sdb'), { format: 'device' });
  t.match(parseSeed('root=/old/a=b.img'), { path: '/old/a=b.img', format: 'raw' });
  for (const text of ['root', 'root=old.img', '=/x', 'root='])
    t.throws(() => parseSeed(text), { code: 'usage' });
  t.equal(parseCount('3', '--limit', 1), 3);
  for (const text of ['0', '-1', '1.5', 'x', '']) {
    t.throws(() => parseCount(text, '--limit', 1), { code: 'usage' });
  }
});
