// Recoveries that were interrupted, by hand, by a crash or by a full volume, and go on where they were; and
// those of damaged history.
import fs from 'node:fs';
import t, { type Test } from 'tap';
import type { RecoverPlan, RecoverReport } from '../../agent/control/client.ts';
import { MiB } from '../../core/units.ts';
import { MasterTarget, nbdUri, runOk, until, type Ended } from '../support/homeward.ts';
import { loopDevice, loopDeviceMissing } from '../support/loop-device.ts';
import { skipUnless } from '../support/needs.ts';
import { mountInPlace } from '../support/volumes.ts';

const tools = skipUnless({ commands: ['qemu-io', 'qemu-img'] });
const noLoop =
  skipUnless({ root: true, commands: ['losetup', 'mkfs.ext4', 'qemu-io', 'qemu-img'] }) ||
  (loopDeviceMissing() ?? false);

t.setTimeout(240_000);

/** A machine whose disk is full of noise, which is in `source` as well. */
async function startBig(t: Test, megabytes: number): Promise<MasterTarget> {
  const target = await MasterTarget.start(t);
  const socket = await target.ingest('big', [`disk=${megabytes}M`]);
  const source = target.inDirectory('source');
  await runOk('dd', ['if=/dev/urandom', `of=${source}`, 'bs=1M', `count=${megabytes}`]);
  await runOk('qemu-img', ['convert', '-n', '-f', 'raw', '-O', 'raw', source, nbdUri(socket, 'disk')]);
  return target;
}

const recover = (lsn: number, to: string): string[] => ['recover', 'big', '--at', `lsn:${lsn}`, '--to', to];

async function isSource(target: MasterTarget, format: string, image: string): Promise<boolean> {
  if (format !== 'raw') await runOk('qemu-img', ['check', '-f', format, image]);
  const args = ['compare', '-f', 'raw', '-F', format, target.inDirectory('source'), image];
  return (await runOk('qemu-img', args)).includes('identical');
}

const hasDone = (note: string): boolean =>
  fs.existsSync(note) && fs.readFileSync(note, 'utf8').includes('"done"');

/** Begins a recovery and calls `stop` when a part of it is noted as done. */
async function interruptRecovery(
  target: MasterTarget,
  args: readonly string[],
  note: string,
  stop: (signal: (name: NodeJS.Signals) => void) => void | Promise<void>,
): Promise<Ended> {
  let kill: (name: NodeJS.Signals) => void = () => undefined;
  const ended = target.command(args, {
    onStart: (child) => {
      kill = (name) => child.kill(name);
    },
  });
  await until('a part to be done', () => hasDone(note));
  await stop(kill);
  return ended;
}

t.test(
  'after kill -9 of the daemon a recovery goes on where it was, to the same bytes',
  { skip: tools },
  async (t) => {
    const target = await startBig(t, 320);
    const { headLsn } = await target.status('big');
    for (const format of ['raw', 'qcow2', 'vmdk']) {
      const directory = target.inDirectory(format);
      const args = recover(headLsn, `${format}:${directory}`);
      const note = `${directory}/disk.${format}.homeward-partial`;
      const { status } = await interruptRecovery(target, args, note, () => target.kill());
      t.not(status, 0, 'it was not done');
      t.notOk(fs.existsSync(`${directory}/disk.${format}`), 'nothing half has the name');
      await target.restart();
      const { disks } = await target.ask<RecoverPlan>(...args, '--plan');
      const { resumes = 0 } = disks[0] ?? {};
      t.ok(resumes > 0 && resumes <= 1, `${format} goes on at ${resumes}`);
      const { result } = await target.ask<{ result: RecoverReport }>(...args, '--verify');
      t.same(result.differing, []);
      t.ok(result.bytesWritten < 320 * MiB, `${result.bytesWritten} bytes were left to write`);
      t.ok(await isSource(target, format, `${directory}/disk.${format}`), format);
      t.same(fs.readdirSync(directory), [`disk.${format}`], 'and nothing else is left');
    }
  },
);

t.test('Ctrl-C keeps what was written and says how to go on, and how not to', { skip: tools }, async (t) => {
  const target = await startBig(t, 320);
  const { headLsn } = await target.status('big');
  for (const more of [[], ['--fresh']]) {
    const directory = target.inDirectory(`out${more.length}`);
    const note = `${directory}/disk.raw.homeward-partial`;
    const args = recover(headLsn, `raw:${directory}`);
    const { status, err, out } = await interruptRecovery(target, args, note, (kill) => kill('SIGINT'));
    t.equal(status, 1);
    t.equal(out, '');
    t.match(
      err,
      /interrupted.*\(interrupted\)\nRun it again with --at lsn:\d+ to go on.*--fresh to begin anew/s,
    );
    await until('the daemon to have stopped', () => target.logged('recovery-failed') > more.length);
    const { result } = await target.ask<{ result: RecoverReport }>(...args, ...more);
    const isWhole = result.bytesWritten === 320 * MiB;
    t.equal(isWhole, more.length > 0, `${result.bytesWritten} bytes were written`);
    t.ok(await isSource(target, 'raw', `${directory}/disk.raw`));
    t.same(fs.readdirSync(directory), ['disk.raw']);
  }
});

t.test('a volume that was full has room again: the recovery goes on', { skip: noLoop }, async (t) => {
  const target = await startBig(t, 192);
  const { headLsn } = await target.status('big');
  const directory = target.inDirectory('small');
  fs.mkdirSync(directory);
  mountInPlace(t, directory, 240, async () => undefined);
  for (const format of ['raw', 'qcow2', 'vmdk']) {
    fs.writeFileSync(`${directory}/filler`, Buffer.alloc(80 * MiB, 1));
    const args = recover(headLsn, `${format}:${directory}`);
    t.match(await target.refused(...args), { status: 8, code: 'no-space' });
    t.ok(hasDone(`${directory}/disk.${format}.homeward-partial`));
    fs.rmSync(`${directory}/filler`);
    const { result } = await target.ask<{ result: RecoverReport }>(...args);
    t.ok(result.bytesWritten < 192 * MiB, `${format}: ${result.bytesWritten} bytes were left to write`);
    t.ok(await isSource(target, format, `${directory}/disk.${format}`), format);
    fs.rmSync(`${directory}/disk.${format}`);
  }
});

t.test(
  'onto a device it goes on too, and mends what others wrote there meanwhile',
  { skip: noLoop },
  async (t) => {
    const target = await startBig(t, 320);
    const { headLsn, id } = await target.status('big');
    const device = loopDevice(t, 320 * MiB);
    const args = [...recover(headLsn, `block:disk=${device}`), '--yes'];
    const notes = target.inData('retention', id, 'recoveries');
    const isBegun = (): string =>
      `${notes}/${fs.existsSync(notes) ? (fs.readdirSync(notes)[0] ?? '-') : '-'}`;
    const ended = target.command(args);
    await until('a part to be done', () => hasDone(isBegun()));
    await target.kill();
    t.not((await ended).status, 0);
    await target.restart();
    const fd = fs.openSync(device, 'r+');
    fs.writeSync(fd, Buffer.alloc(MiB, 7), 0, MiB, 5 * MiB);
    fs.closeSync(fd);
    const { disks } = await target.ask<RecoverPlan>(...args, '--plan');
    t.ok((disks[0]?.resumes ?? 0) > 0);
    const { result } = await target.ask<{ result: RecoverReport }>(...args);
    t.ok(result.bytesWritten < 320 * MiB, `${result.bytesWritten} bytes were written`);
    t.ok(fs.readFileSync(device).equals(fs.readFileSync(target.inDirectory('source'))));
    t.same(fs.readdirSync(notes), [], 'the note is gone');
  },
);

t.test(
  'damaged history stops a recovery by name, and with --allow-damaged is zeros that are listed',
  {
    skip: tools,
  },
  async (t) => {
    const target = await MasterTarget.start(t);
    const socket = await target.ingest('big', ['disk=16M']);
    const writes = ['-c', 'write -P 0xab 1M 1M', '-c', 'write -P 0xcd 4M 64k', '-c', 'flush'];
    await runOk('qemu-io', ['-f', 'raw', ...writes, nbdUri(socket, 'disk')]);
    const { headLsn, id } = await target.status('big');
    flipIn(target.inData('retention', id, 'redo'), Buffer.alloc(4096, 0xcd));
    const directory = target.inDirectory('out');
    const args = recover(headLsn, `raw:${directory}`);
    const [start, end] = [4 * MiB, 4 * MiB + 64 * 1024];
    t.match(await target.refused(...args), {
      status: 4,
      code: 'damaged',
      message: `bytes ${start} to ${end} of disk disk are damaged or unknown`,
    });
    t.same(fs.readdirSync(directory), [], 'nothing was done yet that is worth keeping');
    const { result } = await target.ask<{ result: RecoverReport }>(...args, '--allow-damaged', '--verify');
    t.match(result, { damaged: [{ disk: 'disk', start, end }], differing: [] });
    const image = fs.readFileSync(`${directory}/disk.raw`);
    t.ok(image.subarray(start, end).equals(Buffer.alloc(end - start)));
    t.ok(image.subarray(MiB, 2 * MiB).equals(Buffer.alloc(MiB, 0xab)));
  },
);

/** Changes one byte of the first such pattern in the files of a directory. */
function flipIn(directory: string, pattern: Buffer): void {
  for (const name of fs.readdirSync(directory)) {
    const at = fs.readFileSync(`${directory}/${name}`).indexOf(pattern);
    if (at < 0) continue;
    const fd = fs.openSync(`${directory}/${name}`, 'r+');
    fs.writeSync(fd, Buffer.of(0), 0, 1, at + 100);
    fs.closeSync(fd);
    return;
  }
  throw new Error('the pattern is in no file');
}
