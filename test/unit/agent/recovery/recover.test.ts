// Recoveries of a moment that is at hand: every format is right, goes on where it was interrupted, and says
// what is damaged.
import fs from 'node:fs';
import t from 'tap';
import { machineAddress } from '../../../../core/extents/address.ts';
import { MiB } from '../../../../core/units.ts';
import { runOk } from '../../../support/homeward.ts';
import { skipUnless } from '../../../support/needs.ts';
import { chooseSeed, seededRandom } from '../../../support/random.ts';
import { RecoverySite } from '../../../support/recovery-site.ts';

const noQemu = skipUnless({ commands: ['qemu-img'] });
const formats = ['raw', 'qcow2', 'vmdk'] as const;
const noteName = (format: string): string => `disk.${format}.homeward-partial`;

t.setTimeout(120_000);

/** Whether the image is the disk; qemu-img looks at it as it looks at its own, and passes over holes. */
async function isSame(site: RecoverySite, name: string, format: string, image: string): Promise<boolean> {
  const source = site.inDirectory(`${name}.source`);
  const isSmall = fs.statSync(source).size <= 128 * MiB;
  if (format === 'raw' && isSmall) return fs.readFileSync(image).equals(fs.readFileSync(source));
  if (format !== 'raw') await runOk('qemu-img', ['check', '-f', format, image]);
  const compared = await runOk('qemu-img', ['compare', '-f', 'raw', '-F', format, source, image]);
  return compared.includes('identical');
}

t.test('every format holds the disks, whatever their sizes', { skip: noQemu }, async (t) => {
  const random = seededRandom(chooseSeed(t));
  for (const size of [512, 64 * 1024, 16 * MiB + 512, 100 * MiB + 3 * 512, 600 * MiB]) {
    const site = new RecoverySite(t, [
      { name: 'disk', size },
      { name: 'empty', size },
    ]);
    site.scatter(random, 60);
    fs.ftruncateSync(site.disks[1]?.fd ?? -1, 0);
    fs.ftruncateSync(site.disks[1]?.fd ?? -1, size);
    for (const kind of formats) {
      const directory = site.inDirectory('out');
      const { damaged, differing } = await site.recover({ kind, directory }, { verify: true });
      t.same({ damaged, differing }, { damaged: [], differing: [] });
      for (const name of ['disk', 'empty'])
        t.ok(
          await isSame(site, name, kind, `${directory}/${name}.${kind}`),
          `${kind} of ${size} bytes: ${name}`,
        );
    }
    const names = formats.flatMap((kind) => [`disk.${kind}`, `empty.${kind}`]);
    t.same(fs.readdirSync(site.inDirectory('out')).toSorted(), names.toSorted(), 'nothing else is left');
    const { blocks } = fs.statSync(site.inDirectory('out', 'empty.raw'));
    t.equal(blocks, 0, 'holes stay holes');
  }
});

t.test('what was interrupted goes on where it was, in every format', { skip: noQemu }, async (t) => {
  const site = new RecoverySite(t, [{ name: 'disk', size: 300 * MiB }]);
  site.scatter(seededRandom(chooseSeed(t)), 400);
  for (const kind of formats) {
    const directory = site.inDirectory(kind);
    const target = { kind, directory };
    let resumes = 0;
    // A VMDK file goes on behind what is whole from its beginning: that may come after what lies behind it.
    while (resumes === 0) {
      const error = await site.interrupt(target);
      t.match(error, { code: 'interrupted', hint: /--at lsn:7 to go on where it was, or with --fresh/ });
      t.ok(fs.existsSync(`${directory}/${noteName(kind)}`), 'the note is there');
      resumes = site.plan(target).disks[0]?.resumes ?? 0;
    }
    // Once more, when what the first run has left is taken away and nothing is written yet.
    t.match(await site.interrupt(target), { code: 'interrupted' });
    t.equal(site.plan(target).disks[0]?.resumes, resumes);
    t.ok(resumes > 0 && resumes < 1, `the plan says that it goes on at ${resumes}`);
    t.throws(() => site.plan(target, { lsn: 8 }), { code: 'conflict', hint: /--at lsn:7/ });
    t.equal(site.plan(target, { lsn: 8, fresh: true }).disks[0]?.resumes, undefined);

    let first = -1;
    const progress = ({ done }: { done: number }): void => {
      if (first < 0) first = done;
    };
    const { differing } = await site.recover(target, { verify: true, progress });
    t.same(differing, []);
    t.ok(first >= resumes * 300 * MiB - 1, `${kind} began at ${first}`);
    t.ok(await isSame(site, 'disk', kind, `${directory}/disk.${kind}`));
    t.same(fs.readdirSync(directory), [`disk.${kind}`], 'nothing else is left');
    await site.recover({ kind, directory: site.inDirectory('anew') });
    const [resumed, anew] = [directory, site.inDirectory('anew')].map(
      (where) => fs.statSync(`${where}/disk.${kind}`).blocks * 512,
    );
    t.ok(
      (resumed ?? 0) <= (anew ?? 0) + MiB,
      `${resumed} bytes are taken, and ${anew} when it is written at once`,
    );
  }
});

t.test('--fresh begins anew and leaves nothing of the other recovery', async (t) => {
  const site = new RecoverySite(t, [{ name: 'disk', size: 200 * MiB }]);
  site.scatter(seededRandom(chooseSeed(t)), 100);
  const directory = site.inDirectory('out');
  t.match(await site.interrupt({ kind: 'raw', directory }), { code: 'interrupted' });
  await t.rejects(async () => site.recover({ kind: 'raw', directory }, { lsn: 9 }), { code: 'conflict' });
  await site.recover({ kind: 'raw', directory }, { lsn: 9, fresh: true });
  t.same(fs.readdirSync(directory), ['disk.raw']);
});

t.test('a partial file that is gone, or is a copy, is not gone on with', async (t) => {
  const site = new RecoverySite(t, [{ name: 'disk', size: 200 * MiB }]);
  site.scatter(seededRandom(chooseSeed(t)), 100);
  for (const change of ['gone', 'copied']) {
    const directory = site.inDirectory(change);
    t.match(await site.interrupt({ kind: 'raw', directory }), { code: 'interrupted' });
    const partial = fs.readdirSync(directory).find((name) => name.endsWith('.partial')) ?? '';
    fs.renameSync(`${directory}/${partial}`, `${directory}/theirs`);
    if (change === 'copied') fs.writeFileSync(`${directory}/${partial}`, 'not ours');
    const recovered = site.recover({ kind: 'raw', directory });
    await recovered;
    t.ok(await isSame(site, 'disk', 'raw', `${directory}/disk.raw`));
    t.ok(fs.existsSync(`${directory}/theirs`));
    if (change === 'copied') t.equal(fs.readFileSync(`${directory}/${partial}`, 'utf8'), 'not ours');
  }
});

t.test('what looks like a note and is none stays as it is', async (t) => {
  const site = new RecoverySite(t, [{ name: 'disk', size: MiB }]);
  const directory = site.inDirectory('out');
  fs.mkdirSync(directory);
  fs.writeFileSync(`${directory}/${noteName('raw')}`, 'precious');
  t.throws(() => site.plan({ kind: 'raw', directory }), { code: 'exists', message: /no note of a recovery/ });
  t.throws(() => site.plan({ kind: 'raw', directory }, { fresh: true }), { code: 'exists' });
  t.equal(fs.readFileSync(`${directory}/${noteName('raw')}`, 'utf8'), 'precious');
});

t.test('--verify finds a byte that changed under it, and nothing gets its name', async (t) => {
  const size = 64 * MiB;
  const site = new RecoverySite(t, [{ name: 'disk', size }]);
  site.fill();
  for (const kind of formats) {
    const directory = site.inDirectory(kind);
    const { differing } = await site.recover(
      { kind, directory },
      {
        verify: true,
        progress: ({ done }) => {
          if (done === size) flip(directory, kind); // everything is written, and nothing is read back yet
        },
      },
    );
    t.equal(differing?.length, 1, kind);
    const { disk, start = 0, end = 0 } = differing?.[0] ?? {};
    t.equal(disk, 'disk');
    t.equal(end - start, kind === 'vmdk' ? 64 * 1024 : 512, 'a sector, or a grain that cannot be unpacked');
    t.same(fs.readdirSync(directory), [], 'nothing is left');
  }
});

/** Flips a byte of data: near the end of qcow2, which has its tables before, else near the beginning. */
function flip(directory: string, format: string): void {
  const partial = fs.readdirSync(directory).find((name) => name.endsWith('.partial')) ?? '';
  const fd = fs.openSync(`${directory}/${partial}`, 'r+');
  const at = format === 'qcow2' ? fs.fstatSync(fd).size - 1000 : 64 * 1024 + 1000;
  const byte = Buffer.alloc(1);
  fs.readSync(fd, byte, 0, 1, at);
  byte[0] = (byte[0] ?? 0) ^ 0x10;
  fs.writeSync(fd, byte, 0, 1, at);
  fs.closeSync(fd);
}

t.test(
  'damage stops a recovery by name; --allow-damaged writes zeros and lists them',
  { skip: noQemu },
  async (t) => {
    const site = new RecoverySite(t, [
      { name: 'first', size: 40 * MiB },
      { name: 'disk', size: 80 * MiB },
    ]);
    site.fill();
    const [start, end] = [50 * MiB + 3 * 512, 50 * MiB + 70 * 1024];
    site.unknown = [[machineAddress(1, start), machineAddress(1, end)]];
    for (const kind of formats) {
      const directory = site.inDirectory(kind);
      const message = `bytes ${start} to ${end} of disk disk are damaged or unknown`;
      await t.rejects(site.recover({ kind, directory }), {
        code: 'damaged',
        message,
        hint: /--allow-damaged/,
      });
      t.notOk(fs.existsSync(`${directory}/disk.${kind}`));
      const { damaged } = await site.recover({ kind, directory }, { allowDamaged: true, verify: true });
      t.same(damaged, [{ disk: 'disk', start, end }], kind);
      const expected = site.inDirectory('expected.source');
      fs.copyFileSync(site.inDirectory('disk.source'), expected);
      const fd = fs.openSync(expected, 'r+');
      fs.writeSync(fd, Buffer.alloc(end - start), 0, end - start, start);
      fs.closeSync(fd);
      t.ok(await isSame(site, 'expected', kind, `${directory}/disk.${kind}`));
    }
  },
);

t.test('what was written with --allow-damaged is not gone on with without it', async (t) => {
  const site = new RecoverySite(t, [{ name: 'disk', size: 300 * MiB }]);
  site.fill();
  site.unknown = [[machineAddress(0, 4096), machineAddress(0, 8192)]];
  const target = { kind: 'raw', directory: site.inDirectory('out') } as const;
  // Other stretches may have been done before the one with the damage.
  const note = `${target.directory}/${noteName('raw')}`;
  const isNoted = (): boolean =>
    fs.existsSync(note) && /"damaged":\[\[4096,8192/.test(fs.readFileSync(note, 'utf8'));
  while (!isNoted()) t.match(await site.interrupt(target, { allowDamaged: true }), { code: 'interrupted' });
  await t.rejects(site.recover(target), {
    code: 'damaged',
    hint: /--allow-damaged, or begin anew with --fresh/,
  });
  const { damaged } = await site.recover(target, { allowDamaged: true });
  t.same(damaged, [{ disk: 'disk', start: 4096, end: 8192 }]);
});
