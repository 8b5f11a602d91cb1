// Segments that are truncated, missing or garbage: what was in them is named, the points before stay exact,
// and nothing is made up.
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import type { VerifyReport } from '../../agent/control/client.ts';
import { nbdUri, run, runOk, type MasterTarget } from '../support/homeward.ts';
import { blocks, goesOn, sites, withClient, type Site } from '../support/machine-sites.ts';
import { skipUnless } from '../support/needs.ts';
import { chooseSeed, seededRandom } from '../support/random.ts';

const skip = skipUnless({ commands: ['qemu-io'] });

interface Loss {
  name: string;
  at: number;
  damage(file: string): void;
}

t.test(
  'a truncated, missing or garbage segment: what was in it is named, and is an error to read',
  { skip },
  async (t) => {
    const random = seededRandom(chooseSeed(t));
    const garbage = (file: string): void => fs.writeFileSync(file, random.bytes(fs.statSync(file).size));
    const losses: Loss[] = [
      { name: 'empty', at: 1, damage: (file) => fs.truncateSync(file, 0) },
      { name: 'missing', at: 1, damage: (file) => fs.rmSync(file) },
      { name: 'garbage', at: 1, damage: garbage },
      { name: 'last-garbage', at: 2, damage: garbage },
      { name: 'last-empty', at: 2, damage: (file) => fs.truncateSync(file, 0) },
      { name: 'last-missing', at: 2, damage: (file) => fs.rmSync(file) },
    ];
    const { target, sites: all } = await sites(t, ['well', ...losses.map(({ name }) => name)]);
    for (const { name, at, damage } of losses) damage(all.get(name)?.segments[at] ?? '');
    await target.restart();
    for (const { name, at } of losses) {
      const { segments } = all.get(name) as Site;
      const from = parseInt(path.basename(segments[at] ?? ''), 16);
      const to = at === 2 ? blocks : parseInt(path.basename(segments[at + 1] ?? ''), 16) - 1;
      await t.test(name, (t) => lostRecords(t, target, name, from, to));
    }
    await goesOn(t, target, 'well');
    t.equal(await target.stop(), 0);
  },
);

t.test(
  'after kill -9 of an idle machine, a newest segment that is gone is missed too',
  { skip },
  async (t) => {
    const { target, sites: all } = await sites(t, ['idle'], 'killed when idle');
    const { segments } = all.get('idle') as Site;
    fs.rmSync(segments[2] ?? '');
    await target.restart();
    await lostRecords(t, target, 'idle', parseInt(path.basename(segments[2] ?? ''), 16), blocks);
    t.equal(await target.stop(), 0);
  },
);

t.test(
  'damage that a reader or verify meets is in status and log until it is mended',
  { skip },
  async (t) => {
    const { target, sites: all } = await sites(t, ['read', 'verified']);
    const before = new Map<string, Buffer>();
    for (const { segments } of all.values()) {
      const file = segments[1] ?? '';
      const content = fs.readFileSync(file);
      before.set(file, content);
      const rotten = Buffer.from(content);
      rotten[200_000] = (rotten[200_000] ?? 0) ^ 1;
      fs.writeFileSync(file, rotten);
    }
    await target.restart();
    const reads = Array.from({ length: blocks }, (_, n) => ['-c', `read ${n * 64}k 64k`]).flat();
    for (let times = 0; times < 2; times++)
      await run('qemu-io', ['-f', 'raw', '-r', ...reads, nbdUri(target.inDirectory('read.sock'), 'root')]);
    await target.command(['verify', 'verified']);
    for (const { name, segments } of all.values()) {
      const { state, detail } = await target.status(name);
      t.equal(state, 'damaged', name);
      t.match(
        detail,
        /^record \d+ \(bytes \d+ to \d+ of root\) in .* does not fit its checksum; see verify$/,
      );
      t.match(detail, segments[1] ?? '');
      const lines = target.log.split('\n').filter((line) => line.includes('event=damage-found'));
      t.equal(lines.filter((line) => line.includes(segments[1] ?? '-')).length, 1, 'told once');
    }
    for (const [file, content] of before) fs.writeFileSync(file, content);
    for (const name of all.keys()) {
      const request = { machine: name, part: null, forMs: null };
      const report = await target.client.verify(request, () => undefined, AbortSignal.timeout(10_000));
      t.match(report, { ok: true });
      t.match(await target.status(name), { state: 'ok', detail: null });
    }
  },
);

t.test('what only has the name of a segment is set aside, not removed', { skip }, async (t) => {
  const random = seededRandom(chooseSeed(t));
  const { target, sites: all } = await sites(t, ['strange']);
  const { directory, segments } = all.get('strange') as Site;
  const redo = (name: string): string => path.join(directory, 'redo', name);
  const letter = random.bytes(5000);
  fs.writeFileSync(redo('00000000deadbeef.seg'), letter);
  fs.copyFileSync(segments[1] ?? '', redo('00000000deadbeee.seg'));
  fs.writeFileSync(redo('00000000deadbeed.seg'), Buffer.alloc(1024 * 1024));
  await target.restart();
  t.same(fs.readFileSync(redo('00000000deadbeef.seg.foreign')), letter);
  t.ok(fs.readFileSync(redo('00000000deadbeee.seg.misplaced')).equals(fs.readFileSync(segments[1] ?? '')));
  t.equal(target.logged('segment-set-aside'), 2);
  const left = fs.readdirSync(path.join(directory, 'redo')).filter((name) => name.startsWith('00000000dead'));
  t.equal(left.length, 2, 'an empty file is ours to remove');
  await goesOn(t, target, 'strange');
});

/** Points before the loss are exact, those in it refused, what it may have changed is an error to read. */
async function lostRecords(
  t: Test,
  target: MasterTarget,
  name: string,
  from: number,
  to: number,
): Promise<void> {
  await withClient(target, async (client) => {
    const status = (await client.status()).machines.find((machine) => machine.name === name);
    t.match(
      status,
      { state: 'damaged', detail: `records ${from} to ${to} are lost`, headLsn: blocks },
      'no number is given twice',
    );
    const report: VerifyReport = await client.verify(
      { machine: name, part: null, forMs: null },
      () => undefined,
      AbortSignal.timeout(10_000),
    );
    t.match(report, { ok: false, damaged: [{ fromLsn: from, toLsn: to }] });
    const socket = target.inDirectory(`view-${name}.sock`);
    const request = { machine: name, listen: `unix:${socket}`, writable: false, leaseMs: null };
    await t.rejects(client.openView({ ...request, at: `lsn:${from}` }), {
      code: 'damaged',
      message: `lsn:${from} is among the lost records ${from} to ${to}`,
    });
    await client.openView({ ...request, at: `lsn:${from - 1}` });
    const reads = Array.from({ length: from - 1 }, (_, n) => [
      '-c',
      `read -P ${n + 1} ${n * 64}k 64k`,
    ]).flat();
    await runOk('qemu-io', [
      '-f',
      'raw',
      '-r',
      ...reads,
      '-c',
      `read -P 0 ${(from - 1) * 64}k 64k`,
      nbdUri(socket, 'root'),
    ]);
  });
  const head = await run('qemu-io', [
    '-f',
    'raw',
    '-c',
    'read 0 64k',
    '-c',
    'write -P 77 0 64k',
    '-c',
    'read -P 77 0 64k',
    nbdUri(target.inDirectory(`${name}.sock`), 'root'),
  ]);
  t.match(
    head.out + head.err,
    /read failed: Input\/output error\nwrote 65536[^]*\nread 65536/,
    'what is written later reads as data',
  );
}
