// A retention volume that runs full while writers write: they get "no space", nothing accepted is lost, and
// writing goes on by itself once there is room.
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { connectControl, type ControlClient } from '../../agent/control/client.ts';
import { Command } from '../../core/nbd/protocol.ts';
import { MasterTarget, nbdUri, run, runOk, until, type Settings } from '../support/homeward.ts';
import { NbdClient } from '../support/nbd-client.ts';
import { skipUnless } from '../support/needs.ts';
import { chooseSeed, seededRandom } from '../support/random.ts';
import { mountInPlace } from '../support/volumes.ts';

const skip = skipUnless({
  root: true,
  commands: ['qemu-io', 'nbdcopy', 'fio', 'mkfs.ext4'],
  files: ['/dev/loop-control'],
});
const MiB = 1024 * 1024;
const diskBytes = 64 * MiB;
const writeBytes = 256 * 1024;
const ENOSPC = 28;

interface Site {
  target: MasterTarget;
  retention: string;
  ballast: string;
  client: ControlClient;
  socket: string;
}

/** A master target with one machine on a retention volume of 220 MiB, of which a ballast file takes 120. */
async function site(t: Test, settings: Settings): Promise<Site> {
  const target = await MasterTarget.start(t, { SegmentBytes: '8M', ...settings });
  const socket = await target.ingest('web', [`root=${diskBytes}`]);
  t.equal(await target.stop(), 0);
  const retention = target.inData('retention');
  mountInPlace(t, retention, 220, () => target.kill());
  const ballast = path.join(retention, 'ballast');
  fs.writeFileSync(ballast, Buffer.alloc(120 * MiB, 1));
  await target.restart();
  const client = connectControl(target.control);
  t.teardown(() => client.close());
  return { target, retention, ballast, client, socket };
}

/** The disk as it has to be: what was accepted, block by block. */
class Model {
  readonly content = Buffer.alloc(diskBytes);
  readonly #random = seededRandom(1);

  async writeUntilRefused(nbd: NbdClient): Promise<{ accepted: number; errno: number }> {
    for (let accepted = 0; ; accepted++) {
      const offset = this.#random.below(diskBytes / 512 - writeBytes / 512) * 512;
      const data = Buffer.alloc(writeBytes, accepted + 1);
      data.writeUInt32LE(this.#random.below(2 ** 31), 0);
      const { errno } = await nbd.ask(Command.write, offset, writeBytes, data);
      if (errno !== 0) return { accepted, errno };
      data.copy(this.content, offset);
      if (accepted > 2000) throw new Error('it never runs full');
    }
  }
}

/** The disk as any client copies it. */
async function copyOf(target: MasterTarget, socket: string): Promise<Buffer> {
  const file = target.inDirectory('copy.raw');
  fs.rmSync(file, { force: true });
  await runOk('nbdcopy', [nbdUri(socket, 'root'), file]);
  return fs.readFileSync(file);
}

const stateOf = async (client: ControlClient): Promise<{ state: string; detail: string | null }> => {
  const [machine] = (await client.status()).machines;
  return { state: machine?.state ?? '', detail: machine?.detail ?? null };
};

async function clientsAreRefused(t: Test, { target, socket }: Site): Promise<void> {
  const uri = nbdUri(socket, 'root');
  const qemu = await run('qemu-io', ['-f', 'raw', '-c', 'write -P 9 0 8M', uri]);
  t.match(qemu.out + qemu.err, /write failed: No space left on device/);
  const source = target.inDirectory('source.raw');
  fs.writeFileSync(source, Buffer.alloc(16 * MiB, 9));
  const copy = await run('nbdcopy', [source, uri]);
  t.not(copy.status, 0);
  t.match(copy.err, /No space left on device/);
  const fio = await run('fio', [
    '--name=full',
    '--ioengine=nbd',
    `--uri=${uri}`,
    '--rw=write',
    '--bs=1M',
    '--size=16M',
    '--offset=0',
  ]);
  t.not(fio.status, 0);
  t.match(fio.out + fio.err, /No space left on device/);
}

/** Small requests still fit in the segment that is open, until it is full, too. */
async function fillSegment(nbd: NbdClient): Promise<void> {
  for (let n = 0; (await nbd.ask(Command.trim, 0, 512)).errno === 0; n++) {
    if (n > 200_000) throw new Error('it never runs full');
  }
}

/** To the last byte; gives back what filled it. */
function fillUp(t: Test, retention: string): string {
  const file = path.join(retention, 'more');
  t.throws(() => fs.writeFileSync(file, Buffer.alloc(64 * MiB)), { code: 'ENOSPC' });
  return file;
}

async function nothingGoesAnyMore(t: Test, { target, client }: Site, nbd: NbdClient): Promise<void> {
  await fillSegment(nbd);
  const tagged = await target.refused('tag', 'web', '--name', 'full');
  t.match(tagged, { status: 8, code: 'no-space', message: /no space left/ });
  const open = ['ingest', 'open', 'new', '--disk', 'root=1M', '--seeding'];
  const opened = await target.refused(...open, '--listen', `unix:${target.inDirectory('new.sock')}`);
  t.match(opened, { status: 8, code: 'no-space' });
  t.equal((await client.status()).machines.length, 1, 'a machine that could not be made leaves nothing');
}

t.test(
  'a full volume refuses writers, keeps what it took, and takes more once there is room',
  { skip },
  async (t) => {
    const here = await site(t, { RetentionReserveBytes: '0' });
    const { target, client, socket, ballast } = here;
    const nbd = await NbdClient.open({ path: socket }, 'root');
    const model = new Model();
    const first = await model.writeUntilRefused(nbd);
    t.match(first, { errno: ENOSPC });
    t.ok(first.accepted > 100, `${first.accepted} writes were taken before`);
    t.equal((await nbd.ask(Command.flush, 0, 0)).errno, 0, 'what was taken can be made durable');
    t.match(await stateOf(client), {
      state: 'no-space',
      detail: /the retention volume is full \(.* free\): writers get "no space"/,
    });
    const full = await target.status('web');
    t.equal(full.durableLsn, full.headLsn);
    t.equal((await nbd.ask(Command.read, 0, 512)).errno, 0, 'reads go on');
    t.ok(
      (await copyOf(target, socket)).equals(model.content),
      'every write that was taken is there, and no other',
    );
    t.equal((await nbd.ask(Command.trim, 0, 512)).errno, 0, 'a small request still fits');
    t.match(await stateOf(client), { state: 'no-space' }, 'which makes no room');
    await clientsAreRefused(t, here);
    const more = fillUp(t, here.retention);
    await nothingGoesAnyMore(t, here, nbd);
    const lastSeen = await copyOf(target, socket);
    t.ok(
      lastSeen.subarray(16 * MiB).equals(model.content.subarray(16 * MiB)),
      'refused clients changed nothing elsewhere',
    );
    fs.rmSync(ballast);
    fs.rmSync(more);
    t.equal(
      (await nbd.ask(Command.write, 0, 512, Buffer.alloc(512, 3))).errno,
      0,
      'there is room: it goes on',
    );
    t.match(await stateOf(client), { state: 'ok', detail: null });
    await client.tag('web', 'room');
    await target.kill();
    await target.restart();
    t.ok(
      (await copyOf(target, socket)).subarray(512).equals(lastSeen.subarray(512)),
      'after kill -9 it is all there still',
    );
    await runOk('qemu-io', ['-f', 'raw', '-c', 'write -P 4 0 8M', '-c', 'flush', nbdUri(socket, 'root')]);
    t.notMatch(target.log, /level=error event=(?!journal|append-failed|history-short)/);
    t.match(target.log, /level=error event=append-failed directory=\S+redo code=no-space errno=ENOSPC/);
    t.ok(target.logged('append-works-again') > 0);
    t.ok(target.logged('append-failed') < 10, 'a run of failures is told once');
  },
);

t.test(
  'it starts on a full volume, serves every point, and goes on when there is room',
  { skip },
  async (t) => {
    const { target, client, socket, ballast, retention } = await site(t, { RetentionReserveBytes: '0' });
    const model = new Model();
    await model.writeUntilRefused(await NbdClient.open({ path: socket }, 'root'));
    const { headLsn } = await target.status('web');
    await target.kill();
    const more = fillUp(t, retention);
    await target.restart();
    t.match(await target.status('web'), { headLsn, durableLsn: headLsn });
    const view = await target.view('web', 'latest');
    t.ok((await copyOf(target, view.socket)).equals(model.content));
    const nbd = await NbdClient.open({ path: socket }, 'root');
    t.equal((await nbd.ask(Command.write, 0, 512, Buffer.alloc(512, 5))).errno, ENOSPC);
    t.equal((await nbd.ask(Command.flush, 0, 0)).errno, 0);
    t.match(await stateOf(client), { state: 'no-space' });
    fs.rmSync(ballast);
    fs.rmSync(more);
    await until(
      'status shows the room before anybody writes',
      async () => (await stateOf(client)).state === 'ok',
    );
    t.equal((await nbd.ask(Command.write, 0, 512, Buffer.alloc(512, 5))).errno, 0);
    t.equal(await target.stop(), 0);
  },
);

t.test('the reserve is left to housekeeping, which makes room in it', { skip }, async (t) => {
  const reserve = 40 * MiB;
  const { target, client, socket, retention } = await site(t, {
    RetentionReserveBytes: '40M',
    WindowHours: '52w',
  });
  const random = seededRandom(chooseSeed(t));
  const model = new Model();
  const nbd = await NbdClient.open({ path: socket }, 'root');
  t.match(await model.writeUntilRefused(nbd), { errno: ENOSPC });
  const { bavail, bsize } = fs.statfsSync(retention);
  t.ok(bavail * bsize >= reserve, `${bavail * bsize} bytes are left`);
  t.ok(bavail * bsize < reserve + 16 * MiB, 'and not more than a segment beyond the reserve');
  t.match(await stateOf(client), {
    state: 'no-space',
    detail: /MiB free, of which 40 MiB are reserved for housekeeping/,
  });
  t.equal((await nbd.ask(Command.flush, 0, 0)).errno, 0);
  await fillSegment(nbd);
  for (const name of ['full', 'still-full']) {
    await client.tag('web', name);
    t.match(await stateOf(client), { state: 'no-space' }, 'which is no room for writers');
  }
  const { errno } = await nbd.ask(Command.write, 0, writeBytes, Buffer.alloc(writeBytes, 1));
  t.equal(errno, ENOSPC);
  // The window shrinks: apply moves the cursor in the reserve, and what it prunes is written over.
  await target.stop();
  target.configure({ SegmentBytes: '8M', RetentionReserveBytes: '40M', WindowMaxBytes: '16M' });
  await target.restart();
  await until('room is made', async () => (await target.status('web')).redoBytes <= 16 * MiB);
  const again = await NbdClient.open({ path: socket }, 'root');
  for (let n = 0; n < 50; n++) {
    const offset = random.below(diskBytes / writeBytes) * writeBytes;
    const data = random
      .bytes(64)
      .toString('hex')
      .repeat(writeBytes / 128);
    t.equal((await again.ask(Command.write, offset, writeBytes, Buffer.from(data))).errno, 0);
    model.content.write(data, offset);
  }
  t.ok((await copyOf(target, socket)).equals(model.content));
});

t.test('a volume that goes away under the daemon is told in status and log, once', { skip }, async (t) => {
  const target = await MasterTarget.start(t, { SegmentBytes: '1M', RetentionReserveBytes: '0' });
  const socket = await target.ingest('web', [`root=${diskBytes}`]);
  await target.stop();
  const volume = mountInPlace(t, target.inData('retention'), 64, () => target.kill());
  await target.restart();
  const nbd = await NbdClient.open({ path: socket }, 'root');
  t.equal((await nbd.ask(Command.write, 0, writeBytes, Buffer.alloc(writeBytes, 1))).errno, 0);
  t.match(await target.status('web'), { state: 'ok' });
  volume.detach();
  let errno = 0;
  for (let n = 0; errno === 0 && n < 100; n++)
    ({ errno } = await nbd.ask(Command.write, 0, writeBytes, Buffer.alloc(writeBytes, 2)));
  t.equal(errno, 5, 'EIO');
  for (let n = 0; n < 5; n++) await nbd.ask(Command.write, 0, writeBytes, Buffer.alloc(writeBytes, 3));
  t.match(await target.status('web'), {
    state: 'failed',
    detail: /no further segment could be allocated in .*: ENOENT/,
  });
  t.equal(target.logged('append-failed'), 1);
  await target.kill();
});
