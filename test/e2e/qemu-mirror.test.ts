// QEMU mirrors a disk that is being written to into direct ingest: the first copy, then every write.
import fs from 'node:fs';
import t, { type Test } from 'tap';
import { MiB } from '../../core/units.ts';
import { MasterTarget, nbdUri, runOk, until } from '../support/homeward.ts';
import { skipUnless } from '../support/needs.ts';
import { chooseSeed, seededRandom } from '../support/random.ts';
import { StorageDaemon } from '../support/storage-daemon.ts';

const size = 64 * MiB;
const skip = skipUnless({ commands: ['qemu-storage-daemon', 'qemu-io', 'qemu-img'] });

t.setTimeout(240_000);

/** The disk of a machine that runs, as QEMU sees it, and the ingest that it is mirrored into. */
async function startMirror(
  t: Test,
): Promise<{ target: MasterTarget; qemu: StorageDaemon; image: string; front: string }> {
  const random = seededRandom(chooseSeed(t));
  const target = await MasterTarget.start(t, { SegmentBytes: '4M' });
  const ingest = await target.ingest('guest', [`disk=${size}`], '--seeding');
  const image = target.inDirectory('guest.raw');
  fs.writeFileSync(image, random.bytes(size));
  const front = target.inDirectory('front.sock');
  const qemu = await StorageDaemon.start(t, {
    image,
    serve: front,
    target: { socket: ingest, name: 'disk' },
    monitor: target.inDirectory('monitor.sock'),
  });
  const options = { 'job-id': 'mirror', device: 'source', target: 'copy', sync: 'full' };
  await qemu.ask('blockdev-mirror', { ...options, 'copy-mode': 'write-blocking' });
  return { target, qemu, image, front };
}

/** A view at `when` is, byte for byte, the copy that was taken of the machine's disk. */
async function isMoment(t: Test, target: MasterTarget, when: string, copy: string): Promise<void> {
  const view = await target.view('guest', when);
  const uri = nbdUri(view.socket, 'disk');
  const said = await runOk('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', copy, uri]);
  t.match(said, 'Images are identical.', `${when} is what the machine's disk was then`);
  await target.closeView(view.id);
}

t.test('a live mirror: seeded while it is written to, then every write is a point', { skip }, async (t) => {
  const { target, qemu, image, front } = await startMirror(t);
  const write = (pattern: number, at: number): Promise<string> => {
    const commands = ['-c', `write -P ${pattern} ${at}k 300k`, '-c', 'flush'];
    return runOk('qemu-io', ['-f', 'raw', ...commands, nbdUri(front, 'source')]);
  };
  const moment = async (name: string): Promise<string> => {
    const copy = target.inDirectory(`${name}.raw`);
    await runOk('cp', [image, copy]);
    return copy;
  };
  for (let n = 1; n <= 8; n++) await write(n, n * 4000);
  await until('the mirror to be ready', () => qemu.heard('BLOCK_JOB_READY'));
  t.match(await target.status('guest'), { state: 'seeding', oldestLsn: null });
  const first = await target.ask<{ lsn: number }>('ingest', 'seeded', 'guest');
  const seeded = await moment('seeded');

  await write(100, 10_001);
  const { lsn } = await target.ask<{ lsn: number }>('tag', 'guest', '--name', 'between');
  const between = await moment('between');
  await write(101, 10_100);
  await qemu.ask('block-job-cancel', { device: 'mirror' });
  await until('the mirror to end', () => qemu.heard('BLOCK_JOB_COMPLETED'));

  await isMoment(t, target, `lsn:${first.lsn}`, seeded);
  await isMoment(t, target, 'tag:between', between);
  await isMoment(t, target, `lsn:${lsn}`, between);
  await isMoment(t, target, 'latest', image);
  t.equal(await target.stop(), 0);
});
