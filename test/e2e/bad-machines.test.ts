// Machines whose files are damaged, missing or another's: each is refused, `status` says why, nothing on disk
// is changed, and the others go on.
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { goesOn, sites, withClient, type Site } from '../support/machine-sites.ts';
import { skipUnless } from '../support/needs.ts';
import { snapshot } from '../support/volumes.ts';

const skip = skipUnless({ commands: ['qemu-io'] });

interface Damage {
  name: string;
  code: string;
  detail: RegExp;
  /** Does it, and gives back how to undo it. */
  damage(site: Site, other: Site): () => void;
  /** The name cannot be told any more. */
  nameless?: boolean;
  /** Where the machine's directory is afterwards. */
  moved?(site: Site): string;
}

const edit = (file: string, change: (text: string) => string | Buffer | null): (() => void) => {
  const before = fs.readFileSync(file);
  const after = change(before.toString('latin1'));
  if (after === null) fs.rmSync(file);
  else fs.writeFileSync(file, after);
  return () => fs.writeFileSync(file, before);
};
const machineFile =
  (change: (text: string) => string | null) =>
  ({ directory }: Site) => {
    const undo = ['machine.json.previous', 'machine.json'].map((name) =>
      edit(path.join(directory, name), change),
    );
    return () => {
      for (const each of undo) each();
    };
  };
const cursorFile =
  (change: (text: string) => string | null) =>
  ({ directory }: Site) =>
    edit(path.join(directory, 'cursor'), change);

const another = /^\/.*\.seg holds records of another machine, [0-9a-f-]{36} \(foreign-segment\)$/;
/** Another machine's segment under a name that ours does not have. */
const stray =
  (name: string): Damage['damage'] =>
  ({ directory }, { segments }) => {
    const place = path.join(directory, 'redo', name);
    fs.copyFileSync(segments[1] ?? '', place);
    return () => fs.rmSync(place);
  };
const renamedTo = ({ directory, id }: Site): string =>
  path.join(
    path.dirname(directory),
    id.replace(/^./, (digit) => (digit === '0' ? '1' : '0')),
  );

const damages: Damage[] = [
  {
    name: 'alien-in-place',
    code: 'foreign-segment',
    detail: another,
    damage: ({ segments }, other) => edit(segments[1] ?? '', () => fs.readFileSync(other.segments[1] ?? '')),
  },
  { name: 'alien-above', code: 'foreign-segment', detail: another, damage: stray('00000000000003e8.seg') },
  { name: 'alien-below', code: 'foreign-segment', detail: another, damage: stray('0000000000000000.seg') },
  {
    name: 'no-machine-file',
    code: 'damaged',
    nameless: true,
    detail: /machine\.json is missing/,
    damage: machineFile(() => null),
  },
  {
    name: 'machine-file-changed',
    code: 'damaged',
    nameless: true,
    detail: /machine\.json does not have the content it was written with/,
    damage: machineFile((text) => text.replace('16777216', '16777217')),
  },
  {
    name: 'machine-file-cut',
    code: 'damaged',
    nameless: true,
    detail: /machine\.json is not JSON/,
    damage: machineFile((text) => text.slice(0, 60)),
  },
  {
    name: 'machine-file-empty',
    code: 'damaged',
    nameless: true,
    detail: /machine\.json is not JSON/,
    damage: machineFile(() => ''),
  },
  { name: 'no-cursor', code: 'damaged', detail: /cursor is missing/, damage: cursorFile(() => null) },
  {
    name: 'cursor-changed',
    code: 'damaged',
    detail: /cursor does not have the content/,
    damage: cursorFile((text) => text.replaceAll('"lsn": 0', '"lsn": 1')),
  },
  {
    name: 'cursor-too-new',
    code: 'damaged',
    detail: /cursor has version 9; this program reads 1/,
    damage: cursorFile((text) => text.replaceAll('"version": 1', '"version": 9')),
  },
  {
    name: 'other-directory',
    code: 'foreign-machine',
    detail: /holds machine [0-9a-f-]{36} \(other-directory\), not /,
    moved: renamedTo,
    damage: (site) => {
      fs.renameSync(site.directory, renamedTo(site));
      return () => fs.renameSync(renamedTo(site), site.directory);
    },
  },
  {
    name: 'no-replica',
    code: 'target-missing',
    detail: /root\.raw, replica of disk root, cannot be opened \(ENOENT\)/,
    damage: ({ replica }) => {
      fs.renameSync(replica, `${replica}.away`);
      return () => fs.renameSync(`${replica}.away`, replica);
    },
  },
  {
    name: 'short-replica',
    code: 'target-too-small',
    detail: /root\.raw has 1048576 bytes; disk root has 16777216/,
    damage: ({ replica }) => {
      fs.truncateSync(path.join(replica, 'root.raw'), 1024 * 1024);
      return () => fs.truncateSync(path.join(replica, 'root.raw'), 16 * 1024 * 1024);
    },
  },
];

t.test('a machine with damaged or foreign files is refused, and left as it is', { skip }, async (t) => {
  const { target, sites: all } = await sites(t, ['well', ...damages.map(({ name }) => name)]);
  const site = (name: string): Site => all.get(name) as Site;
  const undo = damages.map(({ name, damage }) => damage(site(name), site('well')));
  const before = snapshot(target.inData('retention'));
  const replicas = snapshot(target.inData('replicas'));
  await target.restart();
  await withClient(target, async (client) => {
    const { machines } = await client.status();
    for (const { name, code, detail, nameless = false, moved } of damages) {
      const { directory } = site(name);
      const id = path.basename(moved?.(site(name)) ?? directory);
      const known = nameless ? id : name;
      t.match(
        machines.find((machine) => machine.id === id),
        { name: known, state: 'failed', detail, listen: null },
        name,
      );
      await t.rejects(client.points(known), { code });
      await t.rejects(client.tag(known, 'x'), { code });
      await t.rejects(client.closeIngest(known), { code });
      const again = {
        machine: name,
        disks: [{ name: 'root', sizeBytes: 16 * 1024 * 1024 }],
        listen: `unix:${target.inDirectory('again.sock')}`,
        seeding: false,
      };
      await t.rejects(
        client.openIngest(again),
        { code: nameless ? 'conflict' : code },
        `${name} is not made a second time`,
      );
    }
    await t.rejects(client.points('nobody'), { code: 'no-such-machine' });
  });
  t.match(await target.refused('verify', 'no-cursor'), { status: 4, code: 'damaged' });
  t.match(await target.refused('points', 'alien-above'), { status: 6, code: 'foreign-segment' });
  t.match((await target.command(['status'])).out, /^no-cursor: .*cursor is missing \(damaged\)$/m);
  await goesOn(t, target, 'well');
  t.equal(await target.stop(), 0);
  const well = path.basename(site('well').directory);
  const without = (files: Record<string, string>): object =>
    Object.fromEntries(Object.entries(files).filter(([file]) => !file.startsWith(well)));
  t.same(without(snapshot(target.inData('retention'))), without(before), 'nothing was changed');
  t.same(without(snapshot(target.inData('replicas'))), without(replicas), 'nor were replicas');
  for (const each of undo) each();
  await target.restart();
  for (const { name } of damages)
    t.equal((await target.status(name)).state, 'ok', `put right, ${name} is served again`);
});

t.test('a machine file that is damaged or gone has one beside it to stand in for it', { skip }, async (t) => {
  const { target, sites: all } = await sites(t, ['gone', 'cut']);
  const file = (name: string): string => path.join(all.get(name)?.directory ?? '', 'machine.json');
  fs.rmSync(file('gone'));
  fs.truncateSync(file('cut'), 60);
  await target.restart();
  t.equal(target.logged('used-previous-file'), 2);
  for (const name of ['gone', 'cut']) await goesOn(t, target, name);
});

t.test('four flipped bytes of a cursor are mended', { skip }, async (t) => {
  const { target, sites: all } = await sites(t, ['first', 'second']);
  const file = (name: string): string => path.join(all.get(name)?.directory ?? '', 'cursor');
  const flip = (name: string, at: number): void => {
    const bytes = fs.readFileSync(file(name));
    for (let each = at; each < at + 4; each++) bytes[each]! ^= 0x10;
    fs.writeFileSync(file(name), bytes);
  };
  flip('first', 80);
  flip('second', 4096 + 80);
  await target.restart();
  t.equal(target.logged('cursor-mended'), 2);
  for (const name of ['first', 'second']) await goesOn(t, target, name);
  t.equal(await target.stop(), 0);
  await target.restart();
  t.equal(target.logged('cursor-mended'), 2, 'both are whole again');
});

t.test(
  'a replica to which nothing was ever applied is made again when its file is gone',
  { skip },
  async (t) => {
    const { target, sites: all } = await sites(t, ['web']);
    fs.rmSync(path.join(all.get('web')?.replica ?? '', 'root.raw'));
    await target.restart();
    t.equal(target.logged('replica-made-again'), 1);
    await goesOn(t, target, 'web');
  },
);

t.test(
  'a file that is none of ours is left alone, and so is a machine whose making was interrupted',
  { skip },
  async (t) => {
    const { target, sites: all } = await sites(t, ['web']);
    const notes = path.join(all.get('web')?.directory ?? '', 'redo', 'notes.txt');
    fs.writeFileSync(notes, 'mine');
    fs.mkdirSync(target.inData('retention', '00000000-0000-4000-8000-000000000000', 'redo'), {
      recursive: true,
    });
    await target.restart();
    await goesOn(t, target, 'web');
    t.equal(fs.readFileSync(notes, 'utf8'), 'mine');
    t.match(target.log, /event=machine-unfinished/);
  },
);
