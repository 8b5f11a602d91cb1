// The checks of disks on the machine that runs the tests, and on a volume that is really mounted.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { emptyContext, type Finding } from '../../agent/prerequisites/check.ts';
import { diskChecks } from '../../agent/prerequisites/disk-checks.ts';
import { fsIdentityUnique } from '../../agent/prerequisites/fs-identity-unique.ts';
import { liveHost, type Host } from '../../agent/prerequisites/host.ts';
import { retentionVolume } from '../../agent/prerequisites/retention-volume.ts';
import { runChecks } from '../../agent/prerequisites/run-checks.ts';
import { loopDevice, loopDeviceMissing } from '../support/loop-device.ts';
import { skipUnless } from '../support/needs.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const context = { ...emptyContext('master-target', '0.1.0', '/var/lib/homeward'), retention: '/' };
const MiB = 1024 ** 2;

t.test('this machine is looked at without a throw, and each finding says something', async (t) => {
  const { checks } = await runChecks(diskChecks, liveHost(), context);
  t.equal(checks.length, diskChecks.length);
  for (const { id, found, result, action } of checks) {
    t.ok(found.length > 0, `${id}: ${result}: ${found}`);
    if (result === 'fail') t.ok(action, id);
  }
  t.match(
    checks.find(({ id }) => id === 'retention-volume'),
    { result: 'fail' },
    '/ is no retention volume',
  );
});

t.test(
  'what is not there is null, a program that is not there too, and none is waited for long',
  async (t) => {
    const host = liveHost();
    const directory = temporaryDirectory(t);
    for (const look of ['read', 'list', 'link', 'realPath', 'stat', 'statfs'] as const)
      t.equal(host[look](path.join(directory, 'nothing')), null, look);
    t.equal(host.readBytes(path.join(directory, 'nothing'), 0, 10), null);
    t.equal(await host.run('homeward-no-such-program', []), null);
    t.match(await host.run('sh', ['-c', 'echo "$LC_ALL"; echo err >&2; exit 3']), {
      status: 3,
      stdout: 'C.UTF-8\n',
      stderr: 'err\n',
    });
    t.match(await host.run('sh', ['-c', 'sleep 600'], { timeoutMs: 50 }), { status: -1 });
    t.equal(await host.tryWrite(directory), null);
    t.same(fs.readdirSync(directory), [], 'and leaves nothing behind');
    t.match(await host.tryWrite(path.join(directory, 'nothing')), /ENOENT/);
    t.match(host.stat('/dev/null'), { kind: 'character', node: '1:3', size: 0 });
    fs.writeFileSync(path.join(directory, 'bytes'), 'abcdef');
    t.equal(Buffer.from(host.readBytes(path.join(directory, 'bytes'), 4, 10) ?? []).toString(), 'ef');
    t.equal(await host.tryConnect('127.0.0.1', 1), 'ECONNREFUSED');
    t.ok(((await host.resolve('localhost')) ?? []).length > 0);
  },
);

const skip =
  loopDeviceMissing() ?? skipUnless({ full: true, root: true, commands: ['mkfs.ext4', 'mount', 'umount'] });

/** ext4 of its own, mounted; `fstab` is what the host seems to have. */
function volume(t: Test, options = 'rw'): { point: string; device: string; host: (fstab?: string) => Host } {
  const device = loopDevice(t, 64 * MiB);
  execFileSync('mkfs.ext4', ['-q', device]);
  const point = fs.mkdtempSync(path.join(temporaryDirectory(t), 'retention-'));
  execFileSync('mount', ['-o', options, device, point]);
  t.teardown(() => execFileSync('umount', [point]));
  const live = liveHost();
  const host = (fstab?: string): Host => ({
    ...live,
    read: (file) => (file === '/etc/fstab' && fstab !== undefined ? fstab : live.read(file)),
  });
  return { point, device, host };
}

const look = (host: Host, retention: string): Promise<Finding> =>
  retentionVolume.run(host, { ...context, retention });

t.test('a volume of its own passes but for its size, once fstab has it', { skip }, async (t) => {
  const { point, device, host } = volume(t);
  const uuid = execFileSync('blkid', ['-p', '-s', 'UUID', '-o', 'value', device], {
    encoding: 'utf8',
  }).trim();
  const without = await look(host(), point);
  t.match(without, { result: 'fail', found: `${point} will not be mounted after a restart` });
  t.match(without.action, `UUID=${uuid} ${point} ext4`, 'and says the line to add');
  const finding = await look(host(`${device} ${point} ext4 defaults 0 0\n`), point);
  t.match(finding, { result: 'warn', found: /^only .* are free$/ });
});

t.test('one that is read-only fails as such', { skip }, async (t) => {
  const { point, device, host } = volume(t, 'ro');
  const finding = await look(host(`${device} ${point} ext4 defaults 0 0\n`), point);
  t.match(finding, { result: 'fail', found: `${point} is mounted read-only` });
});

t.test('foreign content fails by its name', { skip }, async (t) => {
  const { point, device, host } = volume(t);
  fs.writeFileSync(path.join(point, 'holiday.jpg'), '');
  const finding = await look(host(`${device} ${point} ext4 defaults 0 0\n`), point);
  t.match(finding, { result: 'fail', found: `${point} holds what is not ours: holiday.jpg` });
});

t.test('a directory of the system, and a tmpfs, are no volumes', { skip }, async (t) => {
  const directory = temporaryDirectory(t);
  t.match(await look(liveHost(), directory), {
    result: 'fail',
    found: /no volume of its own|is (?:tmpfs|overlay)/,
  });
  execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', directory]);
  t.teardown(() => execFileSync('umount', [directory]));
  t.match(await look(liveHost(), directory), { result: 'fail', found: /is tmpfs: .* gone after a restart/ });
});

t.test('a replica on a device is read, and its name found in fstab', { skip }, async (t) => {
  const { device, host, point } = volume(t);
  const uuid = execFileSync('blkid', ['-p', '-s', 'UUID', '-o', 'value', device], {
    encoding: 'utf8',
  }).trim();
  const replicas = [{ machine: 'web', disk: 'root', kind: 'device', path: device } as const];
  const withEntry = host(`UUID=${uuid} ${point} ext4 defaults 0 0\n`);
  t.match(await fsIdentityUnique.run(withEntry, { ...context, replicas }), {
    result: 'fail',
    found: `the replica of web root (ext) has UUID ${uuid}, used by /etc/fstab line 1 (${point})`,
  });
  t.match(await fsIdentityUnique.run(host(''), { ...context, replicas }), { result: 'pass' });
});
