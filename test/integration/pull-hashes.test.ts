// A source that compares: hashes of the state before its sync, made from replica, redo and seed.
import { execFileSync } from 'node:child_process';
import { hash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import type { Relay } from '../../core/chain/messages.ts';
import { MiB } from '../../core/units.ts';
import { until } from '../support/homeward.ts';
import { PullSite, type PlayedSource } from '../support/pull-site.ts';
import { chooseSeed, seededRandom } from '../support/random.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const chunk = 64 * 1024;

/** What docs/chain.md says, in the plainest way. */
function hashesOf(content: Buffer): string {
  const hashes: Buffer[] = [];
  for (let at = 0; at < content.length; at += chunk)
    hashes.push(hash('sha256', content.subarray(at, at + chunk), 'buffer').subarray(0, 16));
  return Buffer.concat(hashes).toString('base64');
}

async function ask(
  site: PullSite,
  source: PlayedSource,
  sync: number,
  end: number,
  start = 0,
): Promise<Relay> {
  const stream = site.streamOf(source);
  const count = stream?.relays.length ?? 0;
  stream?.connection.sendRelay({ kind: 'hashes-wanted', sync, disk: 0, start, end });
  await until('an answer', () => (stream?.relays.length ?? 0) > count);
  const answer = stream?.relays.at(-1);
  if (answer === undefined) throw new Error('no answer');
  return answer;
}

t.test('hashes are those of the state just before the sync, whatever has come since', async (t) => {
  const site = await PullSite.start(t);
  const random = seededRandom(chooseSeed(t));
  const size = MiB + 512;
  const web = site.assign('web', [{ name: 'root', size }]);
  const content = Buffer.alloc(size);
  web.syncBegin();
  for (let count = 0; count < 20; count++) {
    const data = random.bytes(1 + random.below(30_000));
    const offset = random.below(size - data.length);
    data.copy(content, offset);
    web.write(0, offset, data);
  }
  web.zero(0, 2 * chunk, 3 * chunk);
  content.fill(0, 2 * chunk, 5 * chunk);
  web.syncEnd();
  await site.startTarget();
  await site.settled(web);
  const sync = web.syncBegin({ reason: 'lost spool', checksums: true }, 10);
  web.write(0, 0, Buffer.alloc(size, 'z'));
  await site.settled(web);
  t.match(await ask(site, web, sync, size), {
    kind: 'hashes',
    sync,
    start: 0,
    end: size,
    hashes: hashesOf(content),
  });
  const part = await ask(site, web, sync, 7 * chunk, 3 * chunk);
  t.match(part, { hashes: hashesOf(content.subarray(3 * chunk, 7 * chunk)) });

  await site.restartTarget();
  await until('the stream', () => site.streamOf(web) !== null);
  t.match(await ask(site, web, sync, size), { hashes: hashesOf(content) }, 'after a restart too');

  t.match(await ask(site, web, sync + 1, size), {
    kind: 'hashes-failed',
    message: /does not begin the sync/,
  });
  t.match(await ask(site, web, sync, size + chunk), { kind: 'hashes-failed', message: /ended at/ });
  web.syncEnd();
  await site.settled(web);
  t.match(await ask(site, web, sync, size), { kind: 'hashes-failed' }, 'the sync has ended');
});

t.test('a seed is copied once before anything is pulled, and the first sync compares with it', async (t) => {
  const site = await PullSite.start(t);
  const random = seededRandom(chooseSeed(t));
  const directory = temporaryDirectory(t);
  const size = 2 * MiB;
  const seed = Buffer.alloc(MiB);
  random.bytes(100_000).copy(seed, 300_000);
  const raw = path.join(directory, 'old.raw');
  fs.writeFileSync(raw, seed);
  const qcow2 = path.join(directory, 'old.qcow2');
  execFileSync('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw, qcow2]);
  for (const [format, file] of [
    ['raw', raw],
    ['qcow2', qcow2],
  ] as const) {
    const seeds = [{ disk: 'root', path: file, format }];
    const web = site.assign(`from-${format}`, [{ name: 'root', size }], { seeds });
    const sync = web.syncBegin({ checksums: true });
    web.write(0, 0, Buffer.alloc(1000, 'n'));
    await site.restartTarget();
    await site.settled(web);
    const expected = Buffer.concat([seed, Buffer.alloc(size - seed.length)]);
    t.match(await ask(site, web, sync, size), { hashes: hashesOf(expected) }, format);
    await site.restartTarget();
    await until('the stream', () => site.streamOf(web) !== null);
    t.match(await ask(site, web, sync, size), { hashes: hashesOf(expected) }, `${format} after a restart`);
    web.syncEnd();
    await site.settled(web);
    expected.fill('n', 0, 1000);
    t.ok((await site.recovered(`from-${format}`, 'latest')).equals(expected), format);
  }
  t.equal(site.log.filter((line) => line.includes('event=seed-done')).length, 2);
});

t.test('a seed that cannot be had is shown, and nothing is pulled', async (t) => {
  const site = await PullSite.start(t);
  const directory = temporaryDirectory(t);
  const large = path.join(directory, 'large.raw');
  fs.writeFileSync(large, Buffer.alloc(2 * MiB));
  const seeded = (name: string, file: string): PlayedSource =>
    site.assign(name, [{ name: 'root', size: MiB }], {
      seeds: [{ disk: 'root', path: file, format: 'raw' }],
    });
  seeded('gone', path.join(directory, 'gone.raw'));
  seeded('large', large);
  await site.startTarget();
  const shown = async (name: string, what: RegExp): Promise<boolean> => {
    const { machines } = await site.client.status();
    return what.test(machines.find((machine) => machine.name === name)?.detail ?? '');
  };
  await until('the missing one to be shown', () => shown('gone', /there is no seed/));
  await until('the large one to be shown', () => shown('large', /more than disk root/));
  t.equal((await site.status('gone')).state, 'waiting');
  t.same(site.streams, []);
  t.ok(site.log.some((line) => line.includes('code=no-such-file')));
  t.ok(site.log.some((line) => line.includes('code=machine-differs')));
});
