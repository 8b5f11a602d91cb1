// Scan capture with the real processes: disks that are only read, points at the ends of scans, exact.
import fs from 'node:fs';
import t, { type Test } from 'tap';
import { MiB } from '../../core/units.ts';
import { ChainSite, type Source } from '../support/chain-site.ts';
import { until } from '../support/homeward.ts';
import { skipUnless } from '../support/needs.ts';
import { readExport } from '../support/oracle-writer.ts';
import { chooseSeed, seededRandom, type Random } from '../support/random.ts';

const size = 24 * MiB + 512 * 9;

interface Tag {
  lsn: number;
  name: string;
  consistency: string;
}

/** One for all: machines are scanned side by side. */
let site: ChainSite;

/** Writes at random places, as somebody whom we do not see. */
function change(random: Random, file: string, writes: number): void {
  const fd = fs.openSync(file, 'r+');
  const { size: bytes } = fs.fstatSync(fd);
  for (let count = 0; count < writes; count += 1) {
    const length = 512 * (1 + random.below(200));
    const content = random.chance(0.2) ? Buffer.alloc(length) : random.bytes(length);
    const at = 512 * random.below((bytes - length) / 512);
    fs.writeSync(fd, content, 0, length, at);
  }
  fs.closeSync(fd);
}

function newImage(random: Random, file: string): void {
  fs.writeFileSync(file, '');
  fs.truncateSync(file, size);
  change(random, file, 60);
}

async function shows(t: Test, vm: string, when: string, image: Buffer, what: string): Promise<void> {
  const view = await site.view(vm, when);
  const content = await readExport(view.socket, 'root', image.length);
  t.ok(content.equals(image), what);
  await site.server.control.closeViews({ id: view.id });
}

/** A scan that has been asked for, and its tag. */
const scan = (vm: string, name: string): Promise<Tag> => site.server.control.tag(vm, name);

async function settled(vm: string): Promise<void> {
  await until(
    'the scan to be whole at the target',
    async () => {
      const status = await site.status(vm);
      return status?.state === 'ok' && status.backlog.source === 0 && status.backlog.processServer === 0;
    },
    60_000,
  );
}

const scanned = (vm: string, file: string, ...more: string[]): Promise<Source> =>
  site.source(vm, [], '--scan', `root=${file}`, ...more);

async function exactPoints(t: Test): Promise<void> {
  const vm = 'vm';
  const random = seededRandom(chooseSeed(t));
  const image = site.at('root.img');
  newImage(random, image);
  const source = await scanned(vm, image, '--every', '1h');
  await site.protectOnly(vm);
  await settled(vm);
  const copies: [string, Buffer][] = [];
  const first = await site.points(vm);
  t.match(first.tags, [{ name: /^scan-\d{4}-.*Z$/, consistency: 'crash' }], 'the first copy ends in a tag');
  copies.push([`tag:${first.tags[0]?.name}`, fs.readFileSync(image)]);
  t.match(first.scan, { only: true, lastTime: String });
  for (let round = 1; round <= 2; round += 1) {
    change(random, image, 25);
    const tag = await scan(vm, `round-${round}`);
    t.match(tag, { name: `round-${round}`, consistency: 'user' });
    copies.push([`tag:round-${round}`, fs.readFileSync(image)]);
  }
  for (const [when, copy] of copies) await shows(t, vm, when, copy, `${when} is exact`);

  const { gaps } = await site.points(vm);
  const last = gaps.at(-1);
  t.match(last, { reason: 'scan', to: Number });
  await t.rejects(site.view(vm, `lsn:${last?.from}`), { code: 'in-gap' });

  change(random, image, 400);
  const before = source.process.logged('sync-begun');
  // Nobody will answer.
  scan(vm, 'never').catch(() => null);
  await until('the scan to send', () => source.process.logged('sync-begun') > before);
  await source.process.kill();
  // What was sent in part goes back to what it was: a hash that was remembered too early would hide it.
  fs.writeFileSync(image, copies.at(-1)?.[1] ?? '');
  await source.process.start();
  await until('the scan after the kill', async () => (await site.points(vm)).tags.length > copies.length);
  await settled(vm);
  await shows(t, vm, 'latest', fs.readFileSync(image), 'the next scan has made it right');

  change(random, image, 10);
  t.equal(await source.process.stop(), 0);
  change(random, image, 10);
  await source.process.start();
  await until('a clean stop goes on', async () => (await site.status(vm))?.state === 'ok');
  await scan(vm, 'shut-down');
  await shows(t, vm, 'tag:shut-down', fs.readFileSync(image), 'the last scan is exact to the last byte');
  await site.ask('recover', vm, '--at', 'tag:shut-down', '--to', `raw:${site.at('home')}`);
  t.ok(fs.readFileSync(site.at('home', 'root.raw')).equals(fs.readFileSync(image)));
}

async function commandsAround(t: Test): Promise<void> {
  const vm = 'lvm';
  const random = seededRandom(chooseSeed(t));
  const image = site.at('live.img');
  const snapshot = site.at('snapshot.img');
  newImage(random, image);
  const before = `test ! -e ${site.at('broken')} && test ! -e ${snapshot} && cp ${image} ${snapshot}`;
  const after = `rm -f ${snapshot}; echo $LC_ALL >> ${site.at('after')}`;
  const afters = (): number => fs.readFileSync(site.at('after'), 'utf8').split('\n').length - 1;
  const source = await scanned(vm, snapshot, '--every', '1h', '--before', before, '--after', after);
  t.equal(afters(), 1, 'the size of what is made first was looked at');
  await site.protectOnly(vm);
  await settled(vm);
  change(random, image, 20);
  const copy = fs.readFileSync(image);
  t.match(await scan(vm, 'good'), { consistency: 'application' });
  t.notOk(fs.existsSync(snapshot));
  t.equal(fs.readFileSync(site.at('after'), 'utf8'), 'C.UTF-8\n'.repeat(3));

  fs.writeFileSync(site.at('broken'), '');
  change(random, image, 20);
  await t.rejects(scan(vm, 'bad'), { code: 'script-failed' });
  t.equal(afters(), 4, 'the command after it runs also when the one before fails');
  await until('status to say so', async () => (await site.status(vm))?.state === 'failed');
  t.match((await site.status(vm))?.detail, /before the scan failed/);
  await shows(t, vm, 'latest', copy, 'the newest point is the last good scan');

  fs.rmSync(site.at('broken'));
  fs.truncateSync(image, size - 512);
  await t.rejects(scan(vm, 'small'), { code: 'machine-differs' });
  fs.truncateSync(image, size + 4 * MiB);
  change(random, image, 20);
  await scan(vm, 'grown');
  await settled(vm);
  await shows(t, vm, 'latest', fs.readFileSync(image), 'a disk that has grown is whole');
  await shows(t, vm, 'tag:good', copy, 'and what was before has its size');
  t.equal(await source.process.stop(), 0);
  t.notOk(fs.existsSync(snapshot));
}

t.test('scan capture', { skip: skipUnless({ full: true }) }, async (t) => {
  site = await ChainSite.start(t);
  await t.test(
    'each scan is a point that equals the image as it was then; a kill in between is made right',
    exactPoints,
  );
  await t.test(
    'commands make and remove what is read; a failed one costs a scan, never a point',
    commandsAround,
  );
});
