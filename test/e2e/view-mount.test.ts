// `view --mount`: the files of a moment below a directory, until Ctrl-C, `view close`, or its end.
import { execFileSync, type ChildProcess } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { mountDisks, Undo, type MountedDisk } from '../../cli/mount/mounted-disks.ts';
import { errnoOf } from '../../core/errors.ts';
import { homeward, MasterTarget, nbdUri, run, runOk, until, type Ended } from '../support/homeward.ts';
import { attachNbd, mount, mountCommands } from '../support/mounted-disk.ts';
import { skipUnless } from '../support/needs.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const skip = skipUnless({
  root: true,
  commands: [...mountCommands, 'nbdcopy', 'partx', 'blkid'],
  files: ['/dev/fuse', '/dev/loop-control'],
});
t.setTimeout(120_000);

const MiB = 1024 * 1024;
const diskBytes = 64 * MiB;

/** A disk with an ext4 in its first partition, and what LVM writes in its second. */
function makePartitioned(file: string): void {
  const sectors = Buffer.alloc(512);
  const entry = (at: number, type: number, start: number, count: number): void => {
    sectors[446 + at * 16 + 4] = type;
    sectors.writeUInt32LE(start, 446 + at * 16 + 8);
    sectors.writeUInt32LE(count, 446 + at * 16 + 12);
  };
  entry(0, 0x83, 2048, 40960);
  entry(1, 0x8e, 43008, 40960);
  sectors.writeUInt16LE(0xaa55, 510);
  const fd = fs.openSync(file, 'w');
  fs.ftruncateSync(fd, diskBytes);
  fs.writeSync(fd, sectors, 0, 512, 0);
  // A label of LVM: its CRC covers what follows it.
  const label = Buffer.alloc(512);
  label.write('LABELONE', 0, 'latin1');
  label.writeBigUInt64LE(1n, 8);
  label.writeUInt32LE(32, 20);
  label.write('LVM2 001', 24, 'latin1');
  label.write('abcdefghijklmnopqrstuvwxyz012345', 32, 'latin1');
  label.writeUInt32LE(lvmCrc(label.subarray(20)), 16);
  fs.writeSync(fd, label, 0, 512, 43008 * 512 + 512);
  fs.closeSync(fd);
  execFileSync('mkfs.ext4', ['-q', '-E', `offset=${2048 * 512}`, file, '20M']);
}

function lvmCrc(bytes: Buffer): number {
  let crc = 0xf597a6cf;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return crc >>> 0;
}

interface Site {
  target: MasterTarget;
  /** What the files of the disk `data` have to be. */
  files: Map<string, string>;
}

/** A machine with a partitioned disk, and one that is written as a mounted ext4 and was never unmounted. */
async function site(t: Test): Promise<Site> {
  const target = await MasterTarget.start(t);
  const socket = await target.ingest('web', [`root=${diskBytes}`, `data=${diskBytes}`]);
  const image = path.join(temporaryDirectory(t), 'root.raw');
  makePartitioned(image);
  await runOk('nbdcopy', [image, nbdUri(socket, 'root')]);
  const device = await attachNbd(t, target.directory, nbdUri(socket, 'data'));
  await runOk('mkfs.ext4', ['-q', device]);
  const at = target.inDirectory('live');
  const unmount = await mount(t, 'ext4', device, at);
  const files = new Map<string, string>();
  fs.mkdirSync(path.join(at, 'deep'));
  for (let n = 0; n < 50; n++) {
    const name = path.join('deep', `file-${n}`);
    files.set(name, `${n} `.repeat(1 + n * 300));
    const fd = fs.openSync(path.join(at, name), 'w');
    fs.writeSync(fd, files.get(name) ?? '');
    fs.fsyncSync(fd); // which puts its name into the journal of the file system, and no further
    fs.closeSync(fd);
  }
  await target.ask('tag', 'web', '--name', 'then');
  for (const name of files.keys()) fs.rmSync(path.join(at, name));
  fs.writeFileSync(path.join(at, 'later'), 'later');
  await unmount();
  return { target, files };
}

interface Shown {
  id: string;
  disks: MountedDisk[];
  whyNoFileSystems: string | null;
}

/** Runs the command until it says where things are. */
async function showFiles(
  { target }: Site,
  directory: string,
  ...more: string[]
): Promise<{ shown: Shown; child: ChildProcess; ended: Promise<Ended> }> {
  let child: ChildProcess | null = null;
  let said = '';
  const args = ['view', 'web', '--at', 'tag:then', '--mount', directory, '--json', ...more];
  let isOver = false;
  const ended = target.command(args, {
    onStart: (process) => {
      child = process;
      process.stdout?.on('data', (text: string) => (said += text));
    },
  });
  void ended.finally(() => (isOver = true));
  await until('the files to be there', () => isOver || said.endsWith('\n'));
  if (!said.endsWith('\n') || child === null) throw new Error(`it ended: ${(await ended).err}`);
  return { shown: JSON.parse(said) as Shown, child, ended };
}

const allMounts = (): string[] => fs.readFileSync('/proc/self/mounts', 'utf8').split('\n');
/** Of others on this host, who may have been killed. */
const mountsBefore = new Set(allMounts());

/** Mount points and loop devices that have to do with us. */
async function leftovers(target: MasterTarget): Promise<string[]> {
  const mounts = allMounts().filter((line) => !mountsBefore.has(line));
  const sockets = fs.readdirSync(target.data).filter((name) => name.startsWith('mount-'));
  const { out } = await run('losetup', ['--list', '--noheadings', '--output', 'BACK-FILE']);
  const loops = out.split('\n').filter((file) => /\/homeward-[^/]*\/(?:root|data)(?: |$)/.test(file));
  const ours = mounts.filter(
    (line) => line.includes(target.inDirectory('shown')) || /\/homeward-\w{6}\//.test(line),
  );
  return [...ours, ...sockets, ...loops];
}

t.test('all files of a moment are there, and nothing is left after Ctrl-C', { skip }, async (t) => {
  const here = await site(t);
  const { target, files } = here;
  const directory = target.inDirectory('shown');
  const { shown, child, ended } = await showFiles(here, directory);
  t.match(shown, {
    whyNoFileSystems: null,
    disks: [
      {
        disk: 'root',
        volumes: [
          { number: 1, type: 'ext4', at: path.join(directory, 'root', 'p1'), why: null },
          { number: 2, type: 'LVM2_member', at: null, why: /LVM is not mounted/ },
        ],
      },
      { disk: 'data', volumes: [{ number: null, type: 'ext4', at: path.join(directory, 'data') }] },
    ],
  });
  t.same(fs.readdirSync(path.join(directory, 'root', 'p1')), ['lost+found']);
  for (const [name, content] of files)
    t.equal(fs.readFileSync(path.join(directory, 'data', name), 'utf8'), content, name);
  t.notOk(fs.existsSync(path.join(directory, 'data', 'later')));
  t.throws(() => fs.writeFileSync(path.join(directory, 'data', 'mine'), ''), { code: 'EROFS' });
  const [root] = shown.disks;
  t.equal(fs.statSync(root?.image ?? '').size, diskBytes, 'what is not mounted can be had as an image');
  child.kill('SIGINT');
  const { status, err } = await ended;
  t.same({ status, err }, { status: 0, err: '' });
  t.same(await leftovers(target), []);
  t.notOk(fs.existsSync(directory), 'a directory that was not there goes again');
  t.same(await target.client.listViews(), []);
});

t.test('it ends when its view is closed, with its lease, and with the daemon', { skip }, async (t) => {
  const here = await site(t);
  const { target } = here;
  const directory = target.inDirectory('shown');
  fs.mkdirSync(directory);
  const first = await showFiles(here, directory);
  await target.ask('view', 'close', first.shown.id);
  t.equal((await first.ended).status, 0);
  t.same(await leftovers(target), []);
  t.same(fs.readdirSync(directory), []);

  const second = await showFiles(here, directory, '--for', '1s');
  t.equal((await second.ended).status, 0);
  t.same(await leftovers(target), []);

  const third = await showFiles(here, directory);
  await target.kill();
  const { status, err } = await third.ended;
  t.equal(status, 7);
  t.match(JSON.parse(err), { error: { code: 'daemon-unreachable' } });
  await target.restart();
  t.same(await target.client.listViews(), [], 'nobody is left to use it');
  t.same(await leftovers(target), []);
});

t.test('reading what was not read before fails when the daemon is gone', { skip }, async (t) => {
  const { target } = await site(t);
  const view = await target.view('web', 'tag:then');
  const undo = new Undo();
  t.teardown(() => undo.all());
  const directory = target.inDirectory('images');
  undo.makeDirectory(directory);
  const disks = ['root', 'data'].map((name) => ({ name, uri: nbdUri(view.socket, name) }));
  const { signal } = new AbortController();
  const mounted = await mountDisks({ directory, images: null, disks, signal }, undo);
  t.same(
    mounted,
    ['root', 'data'].map((disk) => ({ disk, image: path.join(directory, disk), volumes: [] })),
    'without root the disks are files',
  );
  const image = path.join(directory, 'root');
  const fd = fs.openSync(image, 'r');
  const sector = Buffer.alloc(512);
  fs.readSync(fd, sector, 0, 512, 0);
  t.equal(sector.readUInt16LE(510), 0xaa55);
  t.throws(() => fs.openSync(image, 'r+'), { code: 'EACCES' });
  await target.kill();
  t.throws(() => fs.readSync(fd, sector, 0, 512, 32 * MiB), { code: /EIO|ENOTCONN|ESHUTDOWN|ECONNABORTED/ });
  // Some versions of nbdfuse end then, which closing tells.
  t.doesNotThrow(() => tryClose(fd));
  t.same(await undo.all(), []);
  t.notOk(fs.existsSync(directory));
});

function tryClose(fd: number): void {
  try {
    fs.closeSync(fd);
  } catch (error) {
    if (errnoOf(error) !== 'ENOTCONN') throw error;
  }
}

t.test('what cannot be done is said at once, and leaves nothing', { skip }, async (t) => {
  const here = await site(t);
  const { target } = here;
  const programs = temporaryDirectory(t);
  for (const name of ['node', 'env', 'sh', 'dirname', 'readlink', 'uname'])
    fs.symlinkSync(
      name === 'node' ? process.execPath : execFileSync('which', [name], { encoding: 'utf8' }).trim(),
      path.join(programs, name),
    );
  const args = ['view', 'web', '--at', 'latest', '--json', '--control', target.control, '--mount'];
  const missing = await homeward([...args, target.inDirectory('shown')], { env: { PATH: programs } });
  t.equal(missing.status, 1);
  t.match(JSON.parse(missing.err), {
    error: { code: 'tool-missing', message: 'nbdfuse is not installed', hint: /nbdfuse \(Debian\)/ },
  });
  t.same(await target.client.listViews(), []);
  t.same(await leftovers(target), []);
  t.notOk(fs.existsSync(target.inDirectory('shown')));
  t.match(await target.refused(...args.slice(0, 4), '--mount', target.directory), {
    code: 'exists',
    message: /is not empty/,
  });
  t.match(await target.refused(...args.slice(0, 4), '--mount', 'x', '--listen', 'unix:y'), { code: 'usage' });
  t.match(
    await target.refused('view', 'web', '--at', 'lsn:99999999', '--mount', target.inDirectory('shown')),
    {
      status: 4,
    },
  );
});

/** The mount points below the directory, and the processes of it. */
const mountedAt = (directory: string): string[] =>
  allMounts()
    .flatMap((line) => line.split(' ')[1] ?? [])
    .filter((at) => at.startsWith(`${directory}/`));

/** Command lines of processes that name `text`; the zombies of others have none. */
async function runningWith(text: string): Promise<string[]> {
  const { out } = await run('ps', ['-eo', 'pid=,args=']);
  return out.split('\n').filter((line) => line.includes(text) && line.includes('nbdfuse'));
}

t.test('killed with -9 it leaves nothing, and its view ends with its lease', { skip }, async (t) => {
  const here = await site(t);
  const { target } = here;
  const directory = target.inDirectory('shown');
  const { shown, child, ended } = await showFiles(here, directory);
  const images = path.dirname(shown.disks[0]?.image ?? '');
  t.equal((await runningWith(images)).length, 2);
  const [view] = await target.client.listViews();
  t.ok(view?.expiresAt, 'its lease has an end, which is put off');
  child.kill('SIGKILL');
  await ended;
  await until('its mounts to be taken away', () => !fs.existsSync(directory) && !fs.existsSync(images));
  t.same(mountedAt(directory), []);
  await until('its programs to end', async () => (await runningWith(images)).length === 0);
  t.same((await target.client.listViews()).length, 1, 'the master target does not know yet');
  await target.client.renewView(shown.id, 1);
  await until('its lease to end', async () => (await target.client.listViews()).length === 0);
  await until('nothing to be left', async () => (await leftovers(target)).length === 0);
  const again = await showFiles(here, directory);
  again.child.kill('SIGINT');
  t.equal((await again.ended).status, 0, 'the same directory serves the next one');
});

t.test('what was killed with its guard is named, with the line that takes it away', { skip }, async (t) => {
  const here = await site(t);
  const { target } = here;
  const directory = target.inDirectory('shown');
  const { shown, child, ended } = await showFiles(here, directory);
  const { out } = await run('ps', ['-eo', 'pid=,ppid=,args=']);
  const guards = out
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, parent, ...args]) => Number(parent) === child.pid && args.join(' ').includes('guard.ts'));
  t.equal(guards.length, 1);
  process.kill(Number(guards[0]?.[0]), 'SIGKILL');
  child.kill('SIGKILL');
  await ended;
  const args = ['view', 'web', '--at', 'tag:then', '--mount', directory];
  const { err } = await target.command(args);
  t.match(err, /has the files of another `homeward view --mount` \(exists\)\nEnd that with Ctrl-C/);
  const line = /If it does not run any more: (.*)$/m.exec(err)?.[1] ?? '';
  t.match(line, `fusermount3 -u ${shown.disks[0]?.image}`);
  await runOk('sh', ['-c', line]);
  t.same(mountedAt(directory), []);
  t.same(fs.readdirSync(directory), []);
  await target.client.closeViews({ id: shown.id });
  t.same(await leftovers(target), []);
});
