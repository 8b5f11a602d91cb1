// Two recoveries to one target, files that are somebody else's, and volumes that are full: a recovery that
// says it is done is done, and nothing of anybody else is touched.
import fs from 'node:fs';
import t, { type Test } from 'tap';
import type { RecoverTarget } from '../../agent/control/service.ts';
import { MiB } from '../../core/units.ts';
import { MasterTarget, nbdUri, runOk, until } from '../support/homeward.ts';
import { loopDevice, loopDeviceMissing } from '../support/loop-device.ts';
import { skipUnless } from '../support/needs.ts';
import { mountInPlace } from '../support/volumes.ts';

const tools = skipUnless({ commands: ['qemu-io', 'qemu-img'] });
const noLoop =
  skipUnless({ root: true, commands: ['losetup', 'mkfs.ext4', 'mount', 'qemu-io', 'qemu-img'] }) ||
  (loopDeviceMissing() ?? false);

t.setTimeout(240_000);

/** A machine with so many MiB of data that do not compress to nothing. */
async function startBig(t: Test, megabytes: number): Promise<MasterTarget> {
  const target = await MasterTarget.start(t);
  const socket = await target.ingest('big', [`disk=${megabytes}M`]);
  const source = target.inDirectory('source');
  await runOk('dd', ['if=/dev/urandom', `of=${source}`, 'bs=1M', `count=${megabytes}`]);
  await runOk('qemu-img', ['convert', '-n', '-f', 'raw', '-O', 'raw', source, nbdUri(socket, 'disk')]);
  return target;
}

const recover = (to: string): string[] => ['recover', 'big', '--at', 'latest', '--to', to];

t.test(
  'of two recoveries to the same files one is carried out, and the other says why not',
  {
    skip: tools,
  },
  async (t) => {
    const target = await startBig(t, 96);
    for (const format of ['raw', 'qcow2']) {
      const directory = target.inDirectory(format);
      const all = await Promise.all(
        [1, 2, 3, 4].map(() => target.command([...recover(`${format}:${directory}`), '--json'])),
      );
      t.equal(all.filter(({ status }) => status === 0).length, 1, 'one has the name');
      for (const { err } of all.filter(({ status }) => status !== 0))
        t.match(err, /"conflict".*is being recovered to already|"exists"/);
      t.same(fs.readdirSync(directory), [`disk.${format}`]);
      const image = `${directory}/disk.${format}`;
      const args = ['compare', '-f', 'raw', '-F', format, target.inDirectory('source'), image];
      t.match(await runOk('qemu-img', args), 'identical', 'and what has the name is whole');
    }
  },
);

t.test(
  'while one recovery writes, another to the same place is a conflict, however it is spelled',
  {
    skip: noLoop,
  },
  async (t) => {
    const target = await startBig(t, 256);
    const device = loopDevice(t, 256 * MiB);
    fs.symlinkSync(target.directory, target.inDirectory('again'));
    fs.symlinkSync(device, target.inDirectory('device'));
    const directory = target.inDirectory('out');
    const files = [directory, target.inDirectory('again', 'out'), directory].map((to): RecoverTarget => ({
      kind: 'raw',
      directory: to,
    }));
    const devices = [device, target.inDirectory('device'), device].map((to): RecoverTarget => ({
      kind: 'block',
      devices: [{ disk: 'disk', device: to }],
    }));
    for (const targets of [files, devices]) {
      // All are asked for long before the first of them can have copied its 256 MiB.
      const ended = await Promise.allSettled(
        targets.map((to) =>
          target.client.recover(
            { machine: 'big', at: 'latest', target: to, overwrite: [] },
            () => undefined,
            new AbortController().signal,
          ),
        ),
      );
      const refused = ended.filter((one) => one.status === 'rejected').map((one): unknown => one.reason);
      t.match(
        refused,
        [1, 2].map(() => ({ code: 'conflict', message: 'is being recovered to already' })),
      );
      t.equal(refused.length, 2, 'one goes through');
    }
    t.equal(target.logged('recovery-done'), 2);
    const source = fs.readFileSync(target.inDirectory('source'));
    t.ok(fs.readFileSync(`${directory}/disk.raw`).equals(source));
    t.ok(fs.readFileSync(device).equals(source));
  },
);

t.test(
  'a name that comes into being meanwhile, and files like ours, stay as they are',
  {
    skip: tools,
  },
  async (t) => {
    const target = await startBig(t, 128);
    for (const format of ['raw', 'vmdk']) {
      const directory = target.inDirectory(format);
      const theirs = [`disk.${format}.partial`, `.disk.${format}.partial`, `.disk.${format}.0.partial`];
      fs.mkdirSync(directory);
      for (const name of theirs) fs.writeFileSync(`${directory}/${name}`, 'precious');
      const ended = target.command([...recover(`${format}:${directory}`), '--json']);
      await until('the recovery to write', () => fs.readdirSync(directory).length > theirs.length);
      fs.writeFileSync(`${directory}/disk.${format}`, 'precious', { flag: 'wx' });
      const { status, err } = await ended;
      t.equal(status, 5);
      t.match(err, /"exists"/);
      const names = fs.readdirSync(directory);
      t.same(names.toSorted(), [...theirs, `disk.${format}`].toSorted(), 'nothing of ours is left');
      for (const name of names) t.equal(fs.readFileSync(`${directory}/${name}`, 'utf8'), 'precious', name);
    }
    t.equal(target.logged('recovery-failed'), 2, 'the log has it');
    t.match(target.log, /event=recovery-failed machine=big lsn=\d+ code=exists error=.*come into being/);
  },
);

t.test('of two disks none has its name when one cannot have it', { skip: tools }, async (t) => {
  const target = await MasterTarget.start(t);
  const socket = await target.ingest('big', ['first=64M', 'second=64M']);
  for (const disk of ['first', 'second'])
    await runOk('qemu-io', ['-f', 'raw', '-c', 'write -P 7 0 64M', nbdUri(socket, disk)]);
  const directory = target.inDirectory('out');
  fs.mkdirSync(directory);
  const ended = target.command([...recover(`raw:${directory}`), '--json']);
  await until('the recovery to write', () => fs.readdirSync(directory).length > 0);
  fs.writeFileSync(`${directory}/second.raw`, 'precious', { flag: 'wx' });
  t.equal((await ended).status, 5);
  t.same(fs.readdirSync(directory), ['second.raw']);
});

t.test(
  'a target volume that is full from the start is said to be full, and nothing is left there',
  {
    skip: noLoop,
  },
  async (t) => {
    const target = await startBig(t, 64);
    const directory = target.inDirectory('small');
    fs.mkdirSync(directory);
    mountInPlace(t, directory, 32, async () => undefined);
    const before = fs.readdirSync(directory);
    for (const format of ['raw', 'qcow2', 'vmdk']) {
      const { status, err } = await target.command([...recover(`${format}:${directory}`), '--json']);
      t.equal(status, 8, format);
      t.match(JSON.parse(err.trimEnd().split('\n').at(-1) ?? ''), {
        error: {
          code: 'no-space',
          message: `${directory} has no room left`,
          hint: /^Make room on the target volume/,
        },
      });
      t.same(fs.readdirSync(directory), before);
    }
    t.equal(target.logged('recovery-failed'), 3);
  },
);
