// `homeward protect --seed`: an old copy of a disk on the master target makes the first copy a comparison,
// after which only what differs travels; what cannot be a seed is refused at once.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import t, { type Test } from 'tap';
import type { ProtectReport } from '../../config-server/client.ts';
import { MiB } from '../../core/units.ts';
import { sameAtBothEnds } from '../support/chain-checks.ts';
import { ChainSite, type Source } from '../support/chain-site.ts';
import { ForkedProxy } from '../support/forked-proxy.ts';
import { runOk, until } from '../support/homeward.ts';
import { layDisk } from '../support/laid-disk.ts';
import { loopDeviceMissing } from '../support/loop-device.ts';
import { skipUnless } from '../support/needs.ts';
import { chooseSeed, seededRandom, type Random } from '../support/random.ts';

t.setTimeout(240_000);

const size = 16 * MiB;
const stored = 12 * MiB;
/** Where the disk was written since the seed was made. */
const changed = MiB;
const formats = ['img', 'qcow2', 'vmdk'] as const;

interface Net {
  site: ChainSite;
  proxy: ForkedProxy;
  random: Random;
}

async function start(t: Test): Promise<Net> {
  const random = seededRandom(chooseSeed(t));
  const proxy = await ForkedProxy.start(t);
  const site = await ChainSite.start(t, { processServer: ['--advertise', proxy.address] });
  proxy.to = /127\.0\.0\.1:\d+/.exec(site.processServer.ready)?.[0] ?? '';
  proxy.targetPid = () => site.masterTarget.pid;
  return { site, proxy, random };
}

/** A disk, and what it was a while ago as a raw image. */
async function diskWithPast({ site, random }: Net, name: string): Promise<{ source: Source; old: string }> {
  const path = site.at(`${name}.disk`);
  const old = site.at(`${name}.old`);
  layDisk(path, size, [{ at: 0, length: stored }], random);
  fs.copyFileSync(path, old);
  const fd = fs.openSync(path, 'r+');
  fs.writeSync(fd, random.bytes(changed), 0, changed, 5 * MiB);
  fs.writeSync(fd, Buffer.alloc(changed), 0, changed, 8 * MiB);
  fs.closeSync(fd);
  return { source: await site.source(name, [{ name: 'disk', path }]), old };
}

const digest = (file: string): string => createHash('sha256').update(fs.readFileSync(file)).digest('hex');

/** Protected with the seed: it says what it is about, and sends what differs and no more. */
async function protectWithSeed(t: Test, { site, proxy }: Net, source: Source, seed: string): Promise<void> {
  const { name } = source;
  const before = digest(seed);
  await until(`${name} to be known`, async () =>
    (await site.server.machines()).some((machine) => machine.name === name),
  );
  const bytes = proxy.source.bytes;
  const report = await site.ask<ProtectReport>('protect', name, '--seed', `disk=${seed}`);
  const [said] = report.seeds;
  t.match(said, { disk: 'disk', path: seed, bytes: size, storedBytes: Number, seconds: Number });
  t.ok((said?.storedBytes ?? 0) >= stored && (said?.storedBytes ?? 0) <= size, 'what is stored of it');
  await site.settled(name);
  const travelled = proxy.source.bytes - bytes;
  t.ok(travelled < 1.1 * changed + MiB / 2, `${name}: ${travelled} bytes travelled for ${changed}`);
  const compared = source.process.lineOf('sync-compared');
  t.match(compared, `differentBytes=${2 * changed}`, 'known before anything was copied');
  await sameAtBothEnds(t, site.target, source, name);
  t.equal(digest(seed), before, 'the seed is as it was');
  const { window, gaps } = await site.points(name);
  const end = Number(/ lsn=(\d+)/.exec(source.process.lineOf('sync-ended'))?.[1]);
  t.equal(window?.from.lsn, end, 'points begin at the end of the sync');
  t.same(gaps, []);
}

const noTool = skipUnless({ commands: ['qemu-img'] });

t.test('seeds as raw image, qcow2 and VMDK: only the difference travels', { skip: noTool }, async (t) => {
  const net = await start(t);
  for (const format of formats) {
    const { source, old } = await diskWithPast(net, format);
    const seed = net.site.at(`seed.${format}`);
    if (format === 'img') fs.renameSync(old, seed);
    else await runOk('qemu-img', ['convert', '-f', 'raw', '-O', format, old, seed]);
    await protectWithSeed(t, net, source, seed);
  }
});

const noDevice = skipUnless({ root: true, full: true }) || (loopDeviceMissing() ?? false);

t.test('a block device as a seed', { skip: noDevice }, async (t) => {
  const net = await start(t);
  const { source, old } = await diskWithPast(net, 'device');
  const device = (await runOk('losetup', ['--find', '--show', '--read-only', old])).trim();
  t.teardown(() => void execFileSync('losetup', ['--detach', device]));
  await protectWithSeed(t, net, source, device);
});

t.test('what cannot be a seed is refused; the command says what one is', { skip: noTool }, async (t) => {
  const net = await start(t);
  const { site } = net;
  const { source, old } = await diskWithPast(net, 'web');
  const large = site.at('large.img');
  fs.writeFileSync(large, '');
  fs.truncateSync(large, size + 512);
  await runOk('qemu-img', ['create', '-f', 'qcow2', site.at('large.qcow2'), String(size + MiB)]);
  for (const [seed, code] of [
    [large, 'machine-differs'],
    [site.at('large.qcow2'), 'machine-differs'],
    [site.at('nowhere.img'), 'no-such-file'],
  ] as const) {
    t.match(await site.refused('protect', 'web', '--seed', `disk=${seed}`), { code });
  }
  t.match(await site.refused('protect', 'web', '--seed', `other=${old}`), { code: 'no-such-disk' });
  t.match(await site.server.machines(), [{ name: 'web', protected: false, epoch: null }]);
  t.equal(source.process.logged('sync-begun'), 0);
  const { out } = await site.run('protect', 'web', '--seed', `disk=${old}`);
  t.match(
    out,
    /seed of disk +\S+ \(raw\), 1\d MiB stored of 16 MiB; compared in about \d+ s, then only what/,
  );
  await site.settled('web');
  await sameAtBothEnds(t, site.target, source, 'in the end');
});
