// Captures real files behind a real NBD server: what a client writes is in the records, and what is in use is
// refused.
import t from 'tap';
import fs from 'node:fs';
import path from 'node:path';
import { hostClock } from '../../core/clock.ts';
import { silentLog } from '../../core/log.ts';
import { exportList } from '../../core/nbd/export-list.ts';
import { Command, CommandFlag } from '../../core/nbd/protocol.ts';
import { NbdServer } from '../../core/nbd/server.ts';
import { RecordFlags } from '../../core/record/record.ts';
import { MiB } from '../../core/units.ts';
import type { StoppedBefore } from '../../mobility/capture/dirty-map.ts';
import { FrontDisks } from '../../mobility/capture/front-disks.ts';
import { Syncs } from '../../mobility/sync/sync.ts';
import { loopDevice } from '../support/loop-device.ts';
import { NbdClient } from '../support/nbd-client.ts';
import { skipUnless } from '../support/needs.ts';
import { chooseSeed, seededRandom } from '../support/random.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { ListRecorder, machine, replay } from '../unit/mobility/capture/front-fixture.ts';
import { freePlaces, noHashes } from '../unit/mobility/sync/sync-fixture.ts';

const size = 16 * MiB;
/** Of a service that has been up for long: nothing counts as just touched. */
const lateClock = { ...hostClock(), monotonicMs: () => performance.now() + 1e6 };
const never = new AbortController().signal;

function makeDisk(directory: string, name: string, bytes = size): string {
  const file = path.join(directory, name);
  fs.writeFileSync(file, '');
  fs.truncateSync(file, bytes);
  return file;
}

function open(
  data: string,
  disks: { name: string; path: string }[],
  recorder = new ListRecorder(),
  before: StoppedBefore = { clean: false },
): Promise<FrontDisks> {
  return FrontDisks.open({ disks, machine, data, before, recorder, clock: lateClock, log: silentLog });
}

t.test('what clients write over NBD is on the disk and in the records, also beside a sync', async (t) => {
  const random = seededRandom(chooseSeed(t));
  const data = temporaryDirectory(t);
  const file = makeDisk(data, 'root.img');
  const recorder = new ListRecorder();
  recorder.recording = false;
  const front = await open(data, [{ name: 'root', path: file }], recorder);
  const server = new NbdServer({ exports: exportList(front.exports), log: silentLog });
  const address = await server.listen({ path: path.join(data, 'front.sock') });
  const clients = await Promise.all([NbdClient.open(address, 'root'), NbdClient.open(address, 'root')]);
  const places = freePlaces;
  recorder.onRecord = () => setImmediate(() => recorder.acknowledge());
  const parts = { captured: front, recorder, places, hashes: noHashes, clock: hostClock(), log: silentLog };
  const syncing = new Syncs(parts).run({ reason: 'initial sync', checksums: false }, never);
  for (let round = 0; round < 40; round += 1) {
    let sent = 0;
    for (const client of clients) {
      for (let at = 0; at < 10; at += 1, sent += 1) {
        const sectors = 1 + random.below(64);
        const offset = (8160 - 64 + random.below(128)) * 512;
        const kind = random.pick([Command.write, Command.write, Command.trim, Command.writeZeroes]);
        const payload = kind === Command.write ? Buffer.alloc(sectors * 512, random.below(256)) : undefined;
        const flags = random.chance(0.1) ? CommandFlag.fua : 0;
        client.send(kind, at, offset, sectors * 512, payload, flags);
      }
    }
    for (const client of clients) {
      for (let at = 0; at < sent / clients.length; at += 1) t.equal((await client.reply()).errno, 0);
    }
  }
  t.match(await syncing, { state: 'done' });
  t.ok(recorder.changes.some(({ flags }) => flags === RecordFlags.discard));
  for (const client of clients) client.socket.destroy();
  await server.close();
  t.ok(await front.close(), 'a clean stop');
  t.ok(replay(Buffer.alloc(size, 0xee), recorder.changes).equals(fs.readFileSync(file)));
});

t.test('the map is on disk and says after a restart what is dirty', async (t) => {
  const data = temporaryDirectory(t);
  const disks = [{ name: 'root', path: makeDisk(data, 'root.img') }];
  const first = await open(data, disks);
  t.same(fs.readdirSync(path.join(data, 'dirty')), ['root.map']);
  for (const region of first.beginSync()) first.copied(region, 0);
  t.equal(await first.sweep(), 4);
  const write = Buffer.alloc(512, 1);
  const none = { retain: () => undefined, release: () => undefined };
  await new Promise((resolve) => {
    first.exports[0]?.write(write, 5 * MiB, true, none, resolve);
  });
  t.equal(await first.close(), true);
  const second = await open(data, disks, new ListRecorder(), { clean: true, headLsn: 1 });
  t.same(second.dirtyRegions(), [{ disk: 0, index: 1 }]);
  t.notOk(second.needsSync);
  await second.close();
  fs.truncateSync(disks[0]?.path ?? '', 2 * size);
  const grown = await open(data, disks, new ListRecorder(), { clean: true, headLsn: 1 });
  t.equal(grown.dirtyBytes, 2 * size, 'a disk of another size is dirty as a whole');
  t.ok(grown.needsSync);
  await grown.close();
});

t.test(
  'a disk that is not there, not whole sectors, not writable or served already is refused',
  async (t) => {
    const data = temporaryDirectory(t);
    const good = { name: 'good', path: makeDisk(data, 'good.img') };
    const bad = async (file: string, code: string): Promise<void> => {
      await t.rejects(open(data, [good, { name: 'bad', path: file }]), { code });
    };
    await bad(path.join(data, 'missing.img'), 'no-such-file');
    await bad(makeDisk(data, 'odd.img', 1000), 'bad-disk-size');
    await bad(makeDisk(data, 'empty.img', 0), 'bad-disk-size');
    await bad(data, 'not-writable');
    await bad(good.path, 'conflict');
    const front = await open(data, [good]);
    await t.rejects(open(temporaryDirectory(t), [good]), { code: 'conflict' });
    await front.close();
    await (await open(data, [good])).close();
  },
);

t.test(
  'a device in use, and a file that is attached to a loop device, are refused',
  { skip: skipUnless({ root: true, commands: ['losetup'], files: ['/dev/loop-control'] }) },
  async (t) => {
    const data = temporaryDirectory(t);
    const device = loopDevice(t, size);
    const front = await open(data, [{ name: 'device', path: device }]);
    t.equal(front.disks[0]?.size, size);
    await t.rejects(open(data, [{ name: 'device', path: device }]), { code: 'target-mounted' });
    await front.close();
    const file = fs.readFileSync(`/sys/block/${path.basename(device)}/loop/backing_file`, 'utf8').trim();
    await t.rejects(open(data, [{ name: 'file', path: file }]), { code: 'target-mounted' });
  },
);
