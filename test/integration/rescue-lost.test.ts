// A master target's volume whose cursor, or one of whose replicas, is lost: what redo and undo tell comes
// back byte for byte, and the daemon says where to turn.
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import type { RecoverReport } from '../../agent/control/client.ts';
import type { Rescuable } from '../../agent/recovery/rescue/client.ts';
import { MiB } from '../../core/units.ts';
import { homeward, MasterTarget, until, type Settings } from '../support/homeward.ts';
import { Oracle, sectorBytes } from '../support/oracle.ts';
import { OracleWriter } from '../support/oracle-writer.ts';
import { chooseSeed, seededRandom, type Random } from '../support/random.ts';

const size = 2 * MiB;
const names = ['root', 'data'] as const;
t.setTimeout(240_000);

interface Site {
  target: MasterTarget;
  random: Random;
  oracles: Oracle[];
  /** By LSN from 1: the disk that it is of, and null for a tag. */
  disks: (number | null)[];
  /** The machine's directory on the retention volume. */
  directory: string;
}

/** One change after the other, on both disks; some are tags, which take an LSN as well. */
async function written(t: Test, changes: number, settings: Settings): Promise<Site> {
  const random = seededRandom(chooseSeed(t));
  const target = await MasterTarget.start(t, { RetentionReserveBytes: '0', SegmentBytes: '1M', ...settings });
  const socket = await target.ingest(
    'web',
    names.map((name) => `${name}=${size}`),
  );
  const oracles = names.map((_, disk) => new Oracle(disk, size));
  const writers = await Promise.all(
    oracles.map((oracle, disk) => OracleWriter.connect(socket, names[disk] ?? '', { oracle, random })),
  );
  const retention = target.inData('retention');
  const directory = path.join(retention, fs.readdirSync(retention).find((name) => name.includes('-')) ?? '');
  const site: Site = { target, random, oracles, disks: [], directory };
  for (let at = 0; at < changes; at += 1) {
    const disk = random.below(names.length);
    const oracle = oracles[disk];
    if (oracle !== undefined) await writers[disk]?.change(oracle.next(random));
    site.disks.push(disk);
    if (at % 50 === 40) {
      await target.ask('tag', 'web', '--name', `tag-${at}`);
      site.disks.push(null);
    }
  }
  for (const writer of writers) await writer.flush();
  return site;
}

/** How many changes a disk has seen at `lsn`. */
const changesAt = ({ disks }: Site, disk: number, lsn: number): number =>
  disks.slice(0, lsn).filter((one) => one === disk).length;

/** Undo of everything up to the newest write, while redo stays. */
async function applied({ target, disks }: Site): Promise<void> {
  await until('the cursor to follow', async () => (await target.status('web')).appliedLsn >= disks.length);
}

interface Rescued {
  status: number | null;
  err: string;
  /** By disk; empty when nothing was recovered. */
  images: Buffer[];
  damaged: RecoverReport['damaged'];
}

async function rescue({ target }: Site, lsn: number, ...more: string[]): Promise<Rescued> {
  const out = fs.mkdtempSync(target.inDirectory('out-'));
  const command = ['rescue', target.inData('retention'), 'web', '--at', `lsn:${lsn}`, '--to', `raw:${out}`];
  const ended = await homeward([...command, '--json', ...more]);
  if (ended.status !== 0) return { ...ended, images: [], damaged: [] };
  const { result } = JSON.parse(ended.out.trimEnd().split('\n').at(-1) ?? '') as { result: RecoverReport };
  const images = names.map((name) => fs.readFileSync(path.join(out, `${name}.raw`)));
  return { ...ended, images, damaged: result.damaged };
}

/** All of it is what it was, but for `damaged`, which is zeros. */
function check(t: Test, site: Site, lsn: number, { images, damaged = [], err }: Rescued): void {
  t.equal(images.length, names.length, err);
  for (const [disk, image] of images.entries()) {
    const oracle = site.oracles[disk];
    const known = Buffer.from(image);
    if (oracle === undefined) continue;
    const state = oracle.stateAfter(changesAt(site, disk, lsn));
    for (const { disk: name, start, end } of damaged ?? []) {
      if (name !== names[disk]) continue;
      t.ok(
        image.subarray(start, end).every((byte) => byte === 0),
        `${name} [${start}, ${end})`,
      );
      for (let sector = start / sectorBytes; sector < end / sectorBytes; sector += 1)
        sectorOf(oracle, sector, state[sector] ?? 0).copy(known, sector * sectorBytes);
    }
    t.same(oracle.compare(known, changesAt(site, disk, lsn)), [], `${names[disk]} at lsn:${lsn}`);
  }
}

/** A sector as the change with that number made it. */
function sectorOf(oracle: Oracle, sector: number, sequence: number): Buffer {
  if (sequence === 0) return Buffer.alloc(sectorBytes);
  return oracle.data({ kind: 'write', sequence, first: sector, count: 1 });
}

const losses: Record<string, (site: Site) => void> = {
  'it is deleted': ({ directory }) => fs.rmSync(path.join(directory, 'cursor')),
  'both copies are damaged': ({ directory }) => {
    const bytes = fs.readFileSync(path.join(directory, 'cursor'));
    for (const at of [100, bytes.length / 2 + 100]) bytes[at]! ^= 1;
    fs.writeFileSync(path.join(directory, 'cursor'), bytes);
  },
};

for (const [name, lose] of Object.entries(losses))
  t.test(`the cursor is lost, ${name}: every moment comes back`, async (t) => {
    const site = await written(t, 250, { ReplicaLag: '0s', WindowHours: '24h' });
    const { target, random } = site;
    await applied(site);
    const ended = site.disks.length;
    await target.kill();
    lose(site);
    const places = ['rescue', target.inData('retention'), '--replicas', target.inData('replicas')];
    const listed = await homeward([...places, '--json']);
    t.equal(listed.status, 1, 'damage is found');
    const { machines } = JSON.parse(listed.out) as { machines: Rescuable[] };
    t.match(machines, [
      {
        machine: 'web',
        disks: names.map((disk) => ({ name: disk, size, replicaMissing: /not used without the cursor/ })),
        window: { from: { lsn: 0 }, to: { lsn: ended } },
        latest: { lsn: ended },
        damaged: [{ what: new RegExp(`by ledger and undo, is taken in its place: lsn:${ended}`) }],
      },
    ]);
    t.same(
      machines[0]?.tags.map((tag) => tag.lsn),
      site.disks.flatMap((disk, at) => (disk === null ? [at + 1] : [])),
    );
    for (const lsn of [0, 1, ...[1, 2, 3].map(() => random.below(ended)), ended - 1, ended])
      for (const more of [[], ['--replicas', target.inData('replicas')]])
        check(t, site, lsn, await rescue(site, lsn, ...more));
    await target.restart();
    const { err } = await target.command(['points', 'web']);
    t.match(err, /`homeward rescue .*retention` lists the points that redo and undo still give/);
  });

t.test('the cursor is lost in the midst of a step: every moment comes back', async (t) => {
  const site = await written(t, 120, { ReplicaLag: '1h', WindowHours: '24h' });
  const { target, directory } = site;
  const ended = site.disks.length;
  const stop = new AbortController();
  const watcher = fs.watch(path.join(directory, 'undo'), (_event, file) => {
    if (file?.endsWith('.seg') !== true || stop.signal.aborted) return;
    stop.abort();
    process.kill(target.pid, 'SIGKILL');
  });
  const request = { machine: 'web', at: 'latest', target: { kind: 'in-place' as const }, overwrite: [] };
  await target.client.recover(request, () => undefined, new AbortController().signal).catch(() => null);
  await until('the end of the daemon', () => !target.process.running);
  watcher.close();
  await target.kill();
  fs.rmSync(path.join(directory, 'cursor'));
  for (const name of names) {
    const [machine = ''] = fs.readdirSync(target.inData('replicas'));
    fs.writeFileSync(target.inData('replicas', machine, `${name}.raw`), Buffer.alloc(size, 'half way'));
  }
  for (const lsn of [0, ended >> 1, ended])
    check(t, site, lsn, await rescue(site, lsn, '--replicas', target.inData('replicas')));
});

t.test('one replica of two is lost: both disks come back from redo, and the hint says so', async (t) => {
  const site = await written(t, 250, { ReplicaLag: '0s', WindowHours: '24h' });
  const { target, random, directory } = site;
  await applied(site);
  await target.stop();
  const ended = site.disks.length;
  fs.rmSync(target.inData('replicas', path.basename(directory), 'data.raw'));
  await target.restart();
  const { err } = await target.command(['points', 'web']);
  t.match(err, /data\.raw, replica of disk data, cannot be opened/);
  t.match(err, /`homeward rescue`, given the retention volume and --replicas, recovers/);
  await target.kill();
  for (const lsn of [0, random.below(ended), ended])
    for (const more of [[], ['--replicas', target.inData('replicas')]])
      check(t, site, lsn, await rescue(site, lsn, ...more));
});

t.test('of pruned history, what neither redo nor undo tells is refused, and nothing else', async (t) => {
  const site = await written(t, 200, { ReplicaLag: '0s', WindowHours: '1s', KeepRules: 'none' });
  const { target, directory } = site;
  await until(
    'redo to be pruned',
    async () => (await target.client.points('web', { rates: false })).window!.from.lsn > 100,
  );
  await target.kill();
  const ended = site.disks.length;
  fs.rmSync(target.inData('replicas', path.basename(directory), 'data.raw'));
  const withRoot = await rescue(site, ended, '--replicas', target.inData('replicas'));
  t.equal(withRoot.status, 4, 'refused');
  t.match(withRoot.err, /Neither redo nor undo tells of them/);
  const leave = '--allow-damaged';
  const partly = await rescue(site, ended, '--replicas', target.inData('replicas'), leave);
  t.notOk(
    (partly.damaged ?? []).some(({ disk }) => disk === 'root'),
    'the other disk is whole',
  );
  check(t, site, ended, partly);
  fs.rmSync(path.join(directory, 'cursor'));
  const without = await rescue(site, ended, '--replicas', target.inData('replicas'), leave);
  t.ok((without.damaged ?? []).some(({ disk }) => disk === 'root'));
  check(t, site, ended, without);
});
