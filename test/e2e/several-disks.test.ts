// Several disks of one machine in one sequence of writes, and views that show a moment of all of them.
import fs from 'node:fs';
import t, { type Test } from 'tap';
import { Command } from '../../core/nbd/protocol.ts';
import { MiB } from '../../core/units.ts';
import { MasterTarget, nbdUri, run, runOk } from '../support/homeward.ts';
import { NbdClient } from '../support/nbd-client.ts';
import { Oracle } from '../support/oracle.ts';
import { OracleWriter, readExport } from '../support/oracle-writer.ts';
import { chooseSeed, seededRandom, type Random } from '../support/random.ts';

const size = 8 * MiB;

t.setTimeout(240_000);

/** Two disks, and for each an oracle; only writes, no zeros, so that prefixes are plain. */
interface TwoDisks {
  target: MasterTarget;
  socket: string;
  oracles: [Oracle, Oracle];
  random: Random;
}

async function twoDisks(t: Test): Promise<TwoDisks> {
  const random = seededRandom(chooseSeed(t));
  const target = await MasterTarget.start(t, { SegmentBytes: '1M' });
  const socket = await target.ingest('pair', [`system=${size}`, `data=${size}`]);
  return { target, socket, random, oracles: [new Oracle(0, size), new Oracle(1, size)] };
}

function writers({ socket, oracles, random }: TwoDisks): Promise<[OracleWriter, OracleWriter]> {
  const connect = (disk: 0 | 1): Promise<OracleWriter> =>
    OracleWriter.connect(socket, disk === 0 ? 'system' : 'data', {
      oracle: oracles[disk],
      random,
      onlyWrites: true,
      window: 16,
    });
  return Promise.all([connect(0), connect(1)]);
}

/** Each image is a prefix of what was written to its disk, and together they are the first `lsn` writes. */
function checkMoment(
  t: Test,
  images: readonly [Buffer, Buffer],
  oracles: readonly [Oracle, Oracle],
  lsn: number,
): void {
  const prefixes = oracles.map((oracle, disk) => oracle.newest(images[disk] ?? Buffer.alloc(0)));
  t.equal(
    prefixes.reduce((sum, count) => sum + count, 0),
    lsn,
    `lsn:${lsn} is ${prefixes.join(' + ')} writes`,
  );
  for (const [disk, oracle] of oracles.entries()) {
    t.same(oracle.compare(images[disk] ?? Buffer.alloc(0), prefixes[disk] ?? 0), [], `disk ${disk} is exact`);
  }
}

async function readBoth(socket: string): Promise<[Buffer, Buffer]> {
  return Promise.all([readExport(socket, 'system', size), readExport(socket, 'data', size)]);
}

t.test(
  'two disks share one sequence: a view and a recovery at an LSN show the same moment of both',
  async (t) => {
    const disks = await twoDisks(t);
    const { target, oracles, random } = disks;
    await Promise.all((await writers(disks)).map((writer) => writer.writeMore(300)));
    t.equal((await target.status('pair')).headLsn, 600, 'every write took one LSN');
    for (const lsn of new Set([0, 600, ...Array.from({ length: 4 }, () => random.below(600))])) {
      const view = await target.view('pair', `lsn:${lsn}`);
      t.same(view.exports, ['system', 'data']);
      const images = await readBoth(view.socket);
      checkMoment(t, images, oracles, lsn);
      await target.closeView(view.id);
      if (lsn % 2 === 1) continue;
      const directory = target.inDirectory(`recovered-${lsn}`);
      await target.ask('recover', 'pair', '--at', `lsn:${lsn}`, '--to', `raw:${directory}`);
      t.ok(
        fs.readFileSync(`${directory}/system.raw`).equals(images[0]),
        'the recovered system disk is the view',
      );
      t.ok(fs.readFileSync(`${directory}/data.raw`).equals(images[1]), 'the recovered data disk is the view');
    }
  },
);

t.test('views stay exact, several at once, while writing goes on', async (t) => {
  const disks = await twoDisks(t);
  const { target, oracles } = disks;
  const [first, second] = await writers(disks);
  const views: { lsn: number; socket: string }[] = [];
  let stop = false;
  const writing = [first, second].map((writer) => writer.write(() => stop));
  for (let count = 0; count < 5; count += 1) views.push(await target.view('pair', 'latest'));
  const lsns = views.map(({ lsn }) => lsn);
  t.same(
    lsns,
    lsns.toSorted((a, b) => a - b),
    'latest only moves on',
  );
  const early = await Promise.all(views.map(({ socket }) => readBoth(socket)));
  stop = true;
  await Promise.all(writing);
  for (const [at, { lsn, socket }] of views.entries()) {
    const late = await readBoth(socket);
    checkMoment(t, late, oracles, lsn);
    t.ok(
      late.every((image, disk) => early[at]?.[disk]?.equals(image)),
      'and it never changed',
    );
  }
  t.ok(
    oracles[0].changes.length + oracles[1].changes.length > Math.max(...lsns),
    'writing went on meanwhile',
  );
});

t.test('zeros and discards read back as zeros, and lsn:0 is the disk before the first write', async (t) => {
  const target = await MasterTarget.start(t);
  const socket = await target.ingest('box', ['disk=1M']);
  const uri = nbdUri(socket, 'disk');
  const commands = ['write -P 0xaa 0 1M', 'write -z 4096 8192', 'discard 65536 65536', 'flush'];
  await runOk('qemu-io', ['-f', 'raw', ...commands.flatMap((command) => ['-c', command]), uri]);
  const expected = Buffer.alloc(MiB, 0xaa).fill(0, 4096, 12288).fill(0, 65536, 131072);
  t.ok((await readExport(socket, 'disk', MiB)).equals(expected), 'at the head');
  const status = await target.status('box');
  const latest = await target.view('box', 'latest');
  t.equal(latest.lsn, status.headLsn);
  t.ok((await readExport(latest.socket, 'disk', MiB)).equals(expected), 'in a view');
  const blank = await target.view('box', 'lsn:0');
  t.ok((await readExport(blank.socket, 'disk', MiB)).equals(Buffer.alloc(MiB)), 'lsn:0 reads as zeros');
  const readOnly = await run('qemu-io', ['-f', 'raw', '-c', 'write 0 512', nbdUri(latest.socket, 'disk')]);
  t.match(readOnly.err + readOnly.out, /read-only|Permission|not permitted/i, 'a view cannot be written to');
});

t.test('writes at any alignment are kept to the byte', async (t) => {
  const random = seededRandom(chooseSeed(t));
  const target = await MasterTarget.start(t);
  const socket = await target.ingest('box', ['disk=1M']);
  const expected: Buffer[] = [Buffer.alloc(MiB)];
  const client = await NbdClient.open({ path: socket }, 'disk', { structured: false });
  for (let count = 0; count < 120; count += 1) {
    const length = 1 + random.below(random.chance(0.1) ? 200_000 : 3000);
    const offset = random.below(MiB - length + 1);
    const pattern = 1 + random.below(255);
    const next = Buffer.from(expected.at(-1) ?? Buffer.alloc(0)).fill(pattern, offset, offset + length);
    expected.push(next);
    const { errno } = await client.ask(Command.write, offset, length, Buffer.alloc(length, pattern));
    t.equal(errno, 0);
  }
  client.socket.destroy();
  t.equal((await target.status('box')).headLsn, 120);
  for (const lsn of [120, ...Array.from({ length: 6 }, () => random.below(121))]) {
    const view = await target.view('box', `lsn:${lsn}`);
    const image = await readExport(view.socket, 'disk', MiB);
    t.equal(image.compare(expected[lsn] ?? Buffer.alloc(0)), 0, `lsn:${lsn} is right to the byte`);
    await target.closeView(view.id);
  }
});
