// Places that a recovery or a replica may not go to: refused before the first byte, and never written by guess.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { MasterTarget, nbdUri, runOk } from '../support/homeward.ts';
import { loopDevice, loopDeviceMissing } from '../support/loop-device.ts';
import { skipUnless } from '../support/needs.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const MiB = 1024 * 1024;
const skip = skipUnless({ commands: ['qemu-io'] });
const devices = skipUnless({ root: true, commands: ['qemu-io', 'mkfs.ext4', 'losetup'] }) || (loopDeviceMissing() ?? false);

async function used(t: Test): Promise<MasterTarget> {
  const target = await MasterTarget.start(t);
  const socket = await target.ingest('web', ['root=16M']);
  await runOk('qemu-io', ['-f', 'raw', '-c', 'write -P 7 0 1M', '-c', 'flush', nbdUri(socket, 'root')]);
  return target;
}

const recover = (...to: string[]): string[] => ['recover', 'web', '--at', 'latest', '--yes', ...to.flatMap((each) => ['--to', each])];

t.test('a device that is in use, carries something, is too small or not there is refused', { skip: devices }, async (t) => {
  const target = await used(t);
  const device = loopDevice(t, 32 * MiB);
  const small = loopDevice(t, 8 * MiB);
  execFileSync('mkfs.ext4', ['-q', device]);
  const content = fs.readFileSync(device);
  const open = (replica: string): string[] =>
    ['ingest', 'open', 'two', '--disk', `root=16M@${replica}`, '--listen', `unix:${target.inDirectory('two.sock')}`];
  for (const [command, place] of [[recover, 'block:root='], [open, '']] as const) {
    t.match(await target.refused(...command(place + device)), { status: 6, code: 'target-signature', message: /carries ext4; its WWID is \S+$/ });
    t.match(await target.refused(...command(place + small)), {
      status: 6, code: 'target-too-small', message: new RegExp(`${small} has 8388608 bytes; 16777216 are needed`),
    });
    t.match(await target.refused(...command(`${place}/dev/no-such-disk`)), { status: 6, code: 'target-missing', message: /no-such-disk is not a block device/ });
    const mountPoint = temporaryDirectory(t);
    execFileSync('mount', [device, mountPoint]);
    const mounted = await target.refused(...command(place + device));
    execFileSync('umount', [mountPoint]);
    t.match(mounted, { status: 6, code: 'target-mounted', message: new RegExp(`is mounted on ${mountPoint}`) });
  }
  t.match(await target.refused(...recover(`block:root=${small}`, `block:root=${device}`)), { status: 6 });
  t.match(await target.refused('recover', 'web', '--at', 'latest', '--to', `block:root=${device}`), { status: 6, code: 'needs-yes' });
  const after = fs.readFileSync(device);
  t.ok(after.subarray(1024 * 64).equals(content.subarray(1024 * 64)), 'mounting apart, nothing was written');
  t.equal(execFileSync('e2fsck', ['-fn', device], { stdio: ['ignore', 'pipe', 'ignore'] }).length > 0, true, 'and the file system is whole');
});

t.test('what exists is never overwritten, and a recovery that fails leaves nothing', { skip }, async (t) => {
  const target = await used(t);
  const directory = target.inDirectory('out');
  fs.mkdirSync(directory);
  fs.writeFileSync(path.join(directory, 'root.raw'), 'precious');
  t.match(await target.refused(...recover(`raw:${directory}`)), { status: 5, code: 'exists', message: `${directory}/root.raw exists` });
  t.equal(fs.readFileSync(path.join(directory, 'root.raw'), 'utf8'), 'precious');
  await withTools(t, target, null);
  t.match(await target.refused(...recover(`qcow2:${directory}`)), {
    status: 1, code: 'tool-missing', message: 'qemu-img is not installed',
  });
  await withTools(t, target, '#!/bin/sh\necho "qemu-img: the moon is full" >&2\nexit 3\n');
  t.match(await target.refused(...recover(`vmdk:${directory}`)), {
    status: 1, code: 'tool-failed', message: 'qemu-img ended with 3: qemu-img: the moon is full',
  });
  t.same(fs.readdirSync(directory), ['root.raw'], 'nothing half is left');
  t.same(await target.ask('views'), { views: [] });
});

/** Starts the daemon again with nothing on its PATH but what its start needs, and this `qemu-img`. */
async function withTools(t: Test, target: MasterTarget, qemuImg: string | null): Promise<void> {
  const tools = temporaryDirectory(t);
  for (const name of ['sh', 'dirname', 'readlink', 'uname']) {
    fs.symlinkSync(execFileSync('which', [name], { encoding: 'utf8' }).trim(), path.join(tools, name));
  }
  if (qemuImg !== null) fs.writeFileSync(path.join(tools, 'qemu-img'), qemuImg, { mode: 0o755 });
  const before = process.env['PATH'];
  await target.stop();
  process.env['PATH'] = tools;
  try {
    await target.restart();
  } finally {
    process.env['PATH'] = before;
  }
}
