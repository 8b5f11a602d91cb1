// Recovery in place: the replica is held at a moment, back and forward again, killed in the midst of it;
// views stay exact and writes go on arriving.
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { until } from '../support/homeward.ts';
import {
  diskName,
  hastySettings,
  historyDiskBytes,
  HistorySite,
  killWhen,
  machineName,
  type FileEvent,
  type View,
} from '../support/history-site.ts';
import { readExport } from '../support/oracle-writer.ts';

t.setTimeout(240_000);

const kills = Number(process.env['HOMEWARD_ROUNDS'] ?? 4);
const longWindow = { ...hastySettings, WindowHours: '1h', KeepRules: 'tags=4w' };

/** Moves the replica to `lsn`, where it stays, and looks at every byte of it. */
async function pinAt(site: HistorySite, lsn: number): Promise<void> {
  const { t } = site;
  await site.pinAt(lsn);
  await checkReplica(site, lsn);
  const { appliedLsn, detail } = await site.status();
  t.equal(appliedLsn, lsn, `the cursor is at lsn:${lsn}`);
  t.match(detail, new RegExp(`the replica is pinned at lsn:${lsn} until .homeward unpin ${machineName}`));
}

async function checkReplica({ t, oracle, ...site }: HistorySite, lsn: number): Promise<void> {
  const { disks } = await site.target.status(machineName);
  const image = fs.readFileSync(disks[0]?.replica ?? '');
  const tags = site.tagLsns.filter((tag) => tag <= lsn).length;
  t.same(oracle.compare(image, lsn - tags), [], `the replica is as of lsn:${lsn}`);
}

/** Some hundred writes with tags between them, at which steps end. */
async function writeWithTags(site: HistorySite, names: readonly string[]): Promise<void> {
  for (const name of names) {
    await site.write(60);
    await site.tag(name);
  }
  await site.write(30);
}

t.test('the replica goes back and forward while views are read and writes arrive', async (t) => {
  const site = await HistorySite.start(t, longWindow);
  const { target, oracle, random } = site;
  await writeWithTags(site, ['a', 'b', 'c', 'd']);
  const views = await Promise.all([1, 2, 3, 4].map(() => site.openSome()));
  const { headLsn } = await site.status();
  const [, b = 0, c = 0] = site.tagLsns;
  const places = [
    headLsn,
    b,
    b + 7,
    c,
    c + 11,
    0,
    headLsn - 1,
    ...[1, 2, 3].map(() => random.below(headLsn)),
  ];
  for (const lsn of places) {
    const moving = pinAt(site, lsn);
    let arrived = false;
    void moving.finally(() => (arrived = true));
    while (!arrived) {
      await site.check(random.pick(views), `while the replica goes to lsn:${lsn}`);
      await site.write(5);
    }
    await moving;
    const head = await readExport(site.socket, diskName, historyDiskBytes);
    t.same(oracle.compare(head, oracle.changes.length), [], 'the ingest reads what was written meanwhile');
  }
  for (const view of views) await site.check(view);
  await site.checkAll();
  await pinAt(site, b);
  const there = ['recover', machineName, '--at', `lsn:${c}`, '--to', 'in-place'];
  const { result } = await target.ask<{ result: { bytesWritten: number } }>(...there);
  t.ok(result.bytesWritten > 0, `${result.bytesWritten} bytes were written on the way`);
  t.match(await target.ask(...there), { result: { bytesWritten: 0 } }, 'it is there already');

  t.same(await target.ask('unpin', machineName), { machine: machineName, changed: true });
  t.same(await target.ask('unpin', machineName), { machine: machineName, changed: false });
  const newest = (await site.status()).headLsn;
  await until('the replica to follow again', async () => (await site.status()).appliedLsn === newest);
  t.equal((await site.status()).detail, null);
  await checkReplica(site, newest);
  t.notMatch(target.log, /level=error/);
});

t.test('a moment that the replica cannot go back to is refused, and nothing moves', async (t) => {
  const site = await HistorySite.start(t, longWindow);
  const { target } = site;
  await writeWithTags(site, ['kept', 'later']);
  const [kept = 0] = site.tagLsns;
  await target.ask('retention', machineName, '--window', '1s');
  await until('redo to go', async () => {
    await site.write(20);
    return ((await site.points()).window?.from.lsn ?? 0) > kept;
  });
  await site.checkAt('tag:kept', 'a point that is kept can be shown');
  const before = await site.status();
  const inPlace = ['--to', 'in-place'];
  const refused = await target.refused('recover', machineName, '--at', 'tag:kept', ...inPlace);
  t.match(refused, {
    status: 5,
    code: 'conflict',
    message: /cannot go back to .*: writes after it are not kept/,
  });
  const thinned = await target.refused('recover', machineName, '--at', `lsn:${kept + 5}`, ...inPlace);
  t.match(thinned, { status: 4, code: 'thinned' });
  const far = `lsn:${before.headLsn + 1}`;
  const beyond = await target.refused('recover', machineName, '--at', far, ...inPlace);
  t.match(beyond, { status: 4, code: 'outside-window' });
  t.equal((await site.status()).detail, null, 'nothing is pinned');
  await site.checkAll();
});

t.test('a recovery in place ends when its pin is taken away, or moved by another', async (t) => {
  const site = await HistorySite.start(t, longWindow);
  const { target } = site;
  for (let step = 0; step < 40; step += 1) {
    await site.write(2);
    await site.tag(`step-${step}`);
  }
  const { headLsn } = await site.status();
  const away: [string, () => Promise<unknown>][] = [
    ['unpin', () => target.client.unpin(machineName)],
    ['another recovery', () => site.pinAt(headLsn - 3)],
  ];
  for (const [name, takeAway] of away) {
    let ended: unknown;
    // It may have arrived before anybody else comes.
    for (let round = 0; round < 20 && ended === undefined; round += 1) {
      await pinAt(site, headLsn);
      const going = site.pinAt(2).catch((error: unknown) => error);
      await until('it to be on its way', async () => (await site.status()).appliedLsn < headLsn);
      await takeAway();
      ended = await going;
    }
    t.match(ended, { code: 'conflict', message: /has taken the pin at lsn:2 away/ }, name);
  }
  await target.ask('unpin', machineName);
  await site.checkAll();
});

t.test('where undo is lost on the way, a recovery in place is refused and nothing moves', async (t) => {
  const site = await HistorySite.start(t, longWindow);
  const { target } = site;
  await writeWithTags(site, ['a', 'b', 'c']);
  await site.applyAll();
  const [a = 0] = site.tagLsns;
  await target.kill();
  const undo = path.join(site.directory, 'undo');
  fs.unlinkSync(path.join(undo, fs.readdirSync(undo).toSorted().at(-1) ?? ''));
  await site.comeBack();
  const { appliedLsn } = await site.status();
  const refused = await target.refused('recover', machineName, '--at', `lsn:${a}`, '--to', 'in-place');
  t.match(refused, { code: 'conflict', message: /undo of lsn:\d+ to lsn:\d+ is lost/ });
  const { appliedLsn: after, detail } = await site.status();
  t.equal(after, appliedLsn);
  t.notMatch(detail, /pinned/);
  t.match(detail, /undo of lsn:\d+ to lsn:\d+ is lost \(its undo segment is missing\); see verify/);
});

const phases: Record<string, FileEvent> = {
  'the cursor moves': (room, name) => room === '' && name.startsWith('cursor'),
  'undo is made': (room, name) => room === 'undo' && name.endsWith('.seg.new'),
  'undo gets its name or goes': (room, name) => room === 'undo' && name.endsWith('.seg'),
};

t.test('killed on its way, the replica is brought where it is pinned', async (t) => {
  const site = await HistorySite.start(t, longWindow);
  const { target, random } = site;
  await writeWithTags(site, ['a', 'b', 'c', 'd', 'e', 'f']);
  const { headLsn } = await site.status();
  await pinAt(site, headLsn);
  const views: View[] = await Promise.all([1, 2, 3].map(() => site.openSome()));
  for (let round = 1; round <= kills; round += 1) {
    const phase = Object.keys(phases)[(round - 1) % 3] ?? '';
    // Away and back, so that there is always some way to go.
    const lsn = round % 2 === 1 ? random.below(headLsn / 4) : headLsn - random.below(headLsn / 4);
    t.comment(`round ${round}: to lsn:${lsn}, killed when ${phase}`);
    const stop = killWhen(site, phases[phase]!, random.below(5));
    const ended = await target.command(['recover', machineName, '--at', `lsn:${lsn}`, '--to', 'in-place']);
    stop();
    t.comment(`the command ended with ${ended.status}`);
    await site.comeBack();
    for (const view of views) await site.check(view, 'at once after kill -9');
    const { detail } = await site.status();
    const pinned = Number(/pinned at lsn:(\d+)/.exec(detail ?? '')?.[1]);
    t.ok(pinned >= 0, 'it is pinned, there or where it was before');
    await until('the replica to be there', async () => (await site.status()).appliedLsn === pinned);
    await pinAt(site, pinned);
    await pinAt(site, lsn);
    for (const view of views) await site.check(view, 'after the replica has moved');
    await site.write(10);
  }
  await target.ask('unpin', machineName);
  await site.checkAll();
  t.notMatch(target.log, /level=error/);
});
