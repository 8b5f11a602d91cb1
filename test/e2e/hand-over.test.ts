// A machine is handed over: it runs here from a moment of before on, or its replicas are given away; killed
// in the midst of it, it is ended.
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import type {
  HandOverPlan,
  HandOverReport,
  HandOverRequest,
  RecoverRequest,
} from '../../agent/control/client.ts';
import { homeward, until, type MasterTarget } from '../support/homeward.ts';
import {
  diskName,
  hastySettings,
  historyDiskBytes,
  HistorySite,
  killWhen,
  machineName,
  socketOf,
  type FileEvent,
} from '../support/history-site.ts';
import { Oracle } from '../support/oracle.ts';
import { OracleWriter, readExport } from '../support/oracle-writer.ts';
import type { Random } from '../support/random.ts';
import { allRefused } from '../support/refusals.ts';

t.setTimeout(240_000);

const kills = Number(process.env['HOMEWARD_ROUNDS'] ?? 4);
const longWindow = { ...hastySettings, WindowHours: '1h', KeepRules: 'tags=4w' };

async function pinAt({ target }: HistorySite, lsn: number): Promise<void> {
  const request: RecoverRequest = {
    ...{ machine: machineName, at: `lsn:${lsn}`, overwrite: [] },
    target: { kind: 'in-place' },
  };
  await target.client.recover(request, () => undefined, new AbortController().signal);
}

async function writeWithTags(site: HistorySite, names: readonly string[]): Promise<void> {
  for (const name of names) {
    await site.write(60);
    await site.tag(name);
  }
  await site.write(30);
}

/** What the disk held at a moment. */
interface Known {
  lsn: number;
  image: Buffer;
}

async function imagesAt(target: MasterTarget, lsns: readonly number[]): Promise<Known[]> {
  const found: Known[] = [];
  for (const lsn of lsns) {
    const view = await target.view(machineName, `lsn:${lsn}`);
    found.push({ lsn, image: await readExport(socketOf(view), diskName, historyDiskBytes) });
    await target.closeView(view.id);
  }
  return found;
}

const handOver = ({ client }: MasterTarget, request: HandOverRequest): Promise<HandOverReport> =>
  client.handOver(request, () => undefined, new AbortController().signal);

async function checkImages(t: Test, target: MasterTarget, known: readonly Known[]): Promise<void> {
  const found = await imagesAt(
    target,
    known.map(({ lsn }) => lsn),
  );
  for (const [at, { lsn, image }] of known.entries())
    t.ok(found[at]?.image.equals(image), `lsn:${lsn} is as it was`);
}

/** The oracle of a machine that goes on from its first `count` changes; new ones have new numbers. */
function goOnFrom({ oracle }: HistorySite, count: number): Oracle {
  const next = new Oracle(0, historyDiskBytes);
  next.changes.push(...oracle.changes.slice(0, count));
  while (next.changes.length < oracle.changes.length) next.add('zero', 0, 0);
  return next;
}

async function writeMore(socket: string, oracle: Oracle, random: Random, changes: number): Promise<void> {
  const writer = await OracleWriter.connect(socket, diskName, { oracle, random, window: 8 });
  await writer.writeMore(changes);
  await writer.flush();
  await writer.close();
}

const ledgerOf = ({ directory }: HistorySite): string =>
  fs.readFileSync(path.join(directory, 'ledger'), 'utf8');

/** The replica comes to the newest state. */
async function checkFollows(site: HistorySite, oracle: Oracle): Promise<void> {
  await until('the replica to follow', async () => {
    const { appliedLsn, durableLsn } = await site.status();
    return appliedLsn === durableLsn;
  });
  const image = fs.readFileSync((await site.status()).disks[0]?.replica ?? '');
  site.t.same(oracle.compare(image, oracle.changes.length), [], 'and the replica follows it');
}

async function checkExport(t: Test, socket: string, oracle: Oracle, what: string): Promise<void> {
  const image = await readExport(socket, diskName, historyDiskBytes);
  t.same(oracle.compare(image, oracle.changes.length), [], what);
}

/** It goes on from `lsn`: the old points stay, the replica follows, and nothing is missing. */
async function checkRunsOn(site: HistorySite, next: Oracle, old: Known[], lsn: number): Promise<void> {
  const { t, target } = site;
  await checkImages(t, target, old);
  await checkFollows(site, next);
  await checkImages(t, target, old);
  t.match(ledgerOf(site), new RegExp(`"event":"handed-over","from":${lsn},.*"why":"runs on unix:`));
  t.match(await target.ask('verify', machineName), { result: { ok: true, damaged: [] } });
  t.notMatch(target.log, /level=error/);
}

t.test('a machine runs here from a moment of before on, and nothing of its history is lost', async (t) => {
  const site = await HistorySite.start(t, longWindow);
  const { target, random } = site;
  await writeWithTags(site, ['a', 'b', 'c']);
  const { headLsn } = await site.status();
  const socket = target.inDirectory('next.sock');
  const verb = ['hand-over', machineName, '--run', `unix:${socket}`];
  await allRefused(t, target, [[[...verb, '--yes'], 5, 'conflict', /is not pinned/]]);

  const lsn = (site.tagLsns[0] ?? 0) + 20;
  await pinAt(site, lsn);
  const same = ['hand-over', machineName, '--run', `unix:${site.socket}`];
  await allRefused(t, target, [
    [[...verb, '--source-is-off'], 6, 'needs-yes', /its source be refused/],
    [[...verb, '--yes'], 6, 'source-connected', /is still connected/],
    [[...same, '--source-is-off', '--yes'], 5, 'conflict', /takes the writes of its source/],
  ]);
  const plan = await target.ask<HandOverPlan>(...verb, '--plan');
  t.match(plan, { lsn, givesUp: null, closes: null, source: { path: 'ingest', connected: true } });
  t.equal((await site.status()).listen, `unix:${site.socket}`, 'a plan changes nothing');

  const old = await imagesAt(target, [0, lsn - 7, lsn, lsn + 1, headLsn - 3, headLsn]);
  const view = await target.view(machineName, `lsn:${headLsn - 1}`);
  const done = await target.ask<{ result: HandOverReport }>(...verb, '--source-is-off', '--yes');
  t.match(done.result, { lsn, changed: true, exports: [diskName] });
  t.notOk(fs.existsSync(site.socket), 'nobody listens where the source wrote');
  const status = await site.status();
  t.match(status, { state: 'ok', listen: `unix:${socket}`, detail: null, path: 'ingest' });
  const next = goOnFrom(site, site.changesAt(lsn));
  await checkExport(t, socket, next, 'it reads exactly what was there then');
  const again = await target.ask<{ result: HandOverReport }>(...verb, '--yes');
  t.equal(again.result.changed, false);

  await writeMore(socket, next, random, 200);
  await checkImages(t, target, old);
  await site.check(view, 'a view that was open stays exact');
  const inside = await target.refused(
    'view',
    machineName,
    '--at',
    `lsn:${headLsn + 1}`,
    '--listen',
    'unix:/x',
  );
  t.match(inside, { status: 4, code: 'in-gap' });
  const { gaps } = await site.points();
  t.match(gaps, [{ from: headLsn + 1, reason: `handed over at lsn:${lsn}` }]);
  await target.kill();
  await target.restart();
  await checkExport(t, socket, next, 'after kill -9 it runs on there');
  await checkRunsOn(site, next, old, lsn);
});

t.test('a machine runs here from a point of thinned history, and nothing is given up for it', async (t) => {
  const site = await HistorySite.start(t, { ...hastySettings, KeepRules: 'tags=4w' });
  const { target, random } = site;
  await writeWithTags(site, ['clean', 'later']);
  const clean = site.tagLsns[0] ?? 0;
  await until('the tags to be all that is kept', async () => {
    await site.write(20);
    const { kept, window } = await site.points();
    return (window?.from.lsn ?? 0) > (site.tagLsns[1] ?? 0) && kept.length >= 2;
  });
  const old = await imagesAt(target, [...site.tagLsns]);
  const inPlace = ['recover', machineName, '--at', 'tag:clean', '--to', 'in-place'];
  const { status, err } = await homeward([...inPlace, '--json', '--control', target.control]);
  t.match({ status, err }, { status: 5, err: new RegExp(`hand-over box --at lsn:${clean} --run`) });
  const at = ['hand-over', machineName, '--at', 'tag:clean', '--source-is-off'];
  await allRefused(t, target, [
    [[...at, '--release', 'esx1', '--yes'], 2, 'usage', /goes with --run/],
    [[...at.with(3, 'tag:never'), '--run', 'unix:/x', '--yes'], 3, 'no-such-tag', /never/],
  ]);

  const socket = target.inDirectory('next.sock');
  const run = ['--run', `unix:${socket}`, '--yes'];
  t.match(await target.ask(...at, ...run), { result: { lsn: clean, changed: true } });
  t.match(await target.ask(...at, ...run), { result: { lsn: clean, changed: false } });
  const next = goOnFrom(site, site.changesAt(clean));
  await checkExport(t, socket, next, 'it reads exactly what was there then');
  await writeMore(socket, next, random, 200);
  await checkRunsOn(site, next, old, clean);
});

const phases: Record<string, FileEvent> = {
  'the machine file is written': (room, name) => room === '' && name.startsWith('machine.json'),
  'records are appended': (room) => room === 'redo',
  'the cursor moves': (room, name) => room === '' && name.startsWith('cursor'),
  'the ledger is written': (room, name) => room === '' && name.startsWith('ledger'),
};

t.test('killed in the midst of it, it is not begun, or it is ended', async (t) => {
  const site = await HistorySite.start(t, longWindow);
  const { target, random } = site;
  await writeWithTags(site, ['a', 'b']);
  let oracle = goOnFrom(site, site.oracle.changes.length);
  for (let round = 1; round <= kills; round += 1) {
    const { headLsn } = await site.status();
    const { window } = await site.points();
    const points = [1, 2].map(() => (window?.from.lsn ?? 0) + random.below(60));
    const old = await imagesAt(target, [...points, headLsn]);
    const { lsn, image } = random.pick(old);
    const isPinned = round % 2 === 1;
    if (isPinned) await pinAt(site, lsn);
    const socket = target.inDirectory(`round-${round}.sock`);
    const to = { kind: 'run', listen: `unix:${socket}` } as const;
    const at = isPinned ? {} : { at: `lsn:${lsn}` };
    const request = { machine: machineName, to, ...at, sourceIsOff: true };
    const phase = random.pick(Object.keys(phases));
    const spared = random.below(4);
    t.comment(`round ${round}: at lsn:${lsn}, killed when ${phase}, after ${spared}`);
    const stop = killWhen(site, phases[phase]!, spared);
    const ended = await handOver(target, request).then(
      ({ changed }) => `changed: ${changed}`,
      (error: unknown) => String(error),
    );
    stop();
    t.comment(ended);
    await target.kill();
    await target.restart();
    const before = await site.status();
    const isBegun = isPinned ? !/is pinned/.test(before.detail ?? '') : before.listen === to.listen;
    t.comment(`it is ${isBegun ? 'begun' : 'not begun'}: ${before.detail}`);
    if (!isBegun) await handOver(target, request);
    await until('it to run', async () => {
      const { listen, detail } = await site.status();
      return listen === `unix:${socket}` && detail === null;
    });
    t.ok((await readExport(socket, diskName, historyDiskBytes)).equals(image), `it goes on from lsn:${lsn}`);
    await checkImages(t, target, old);
    oracle = await startAnew(socket, oracle, random);
    const now = await readExport(socket, diskName, historyDiskBytes);
    t.same(oracle.compare(now, oracle.changes.length), [], 'and is written on');
  }
  t.match(await target.ask('verify', machineName), { result: { ok: true, damaged: [] } });
  t.notMatch(target.log, /level=error/);
});

/** Makes the whole disk the oracle's again, whatever it held. */
async function startAnew(socket: string, { changes }: Oracle, random: Random): Promise<Oracle> {
  const oracle = new Oracle(0, historyDiskBytes);
  while (oracle.changes.length < changes.length) oracle.add('zero', 0, 0);
  const writer = await OracleWriter.connect(socket, diskName, { oracle, random, window: 8 });
  await writer.change(oracle.add('zero', 0, oracle.sectors));
  await writer.writeMore(40);
  await writer.flush();
  await writer.close();
  return oracle;
}

t.test('a replica is given away as of the pinned moment, and is never opened again', async (t) => {
  const site = await HistorySite.start(t, longWindow);
  const { target } = site;
  await writeWithTags(site, ['a', 'b', 'c']);
  const lsn = site.tagLsns[1] ?? 0;
  await pinAt(site, lsn);
  const { directory } = site;
  const replica = (await site.status()).disks[0]?.replica ?? '';
  const verb = ['hand-over', machineName, '--release', 'hypervisor 7', '--source-is-off'];
  const plan = await target.ask<HandOverPlan>(...verb, '--plan');
  const { headLsn } = await site.status();
  t.match(plan.givesUp, { count: headLsn - lsn, from: { lsn: lsn + 1 }, tags: [{ name: 'c' }] });
  t.match(plan.closes, { count: lsn + 1, to: { lsn }, tags: [{ name: 'a' }, { name: 'b' }] });

  await allRefused(t, target, [[verb, 6, 'needs-yes', /history of box would end/]]);
  const view = await target.view(machineName, 'latest');
  await allRefused(t, target, [[[...verb, '--yes'], 5, 'conflict', new RegExp(view.id)]]);
  await target.closeView(view.id);
  await target.ask('points', 'lock', machineName, '--at', 'tag:a', '--until', '1h');
  await allRefused(t, target, [[[...verb, '--yes'], 6, 'locked', /would be given up/]]);
  t.match((await site.status()).detail, /is pinned/, 'nothing was begun');
  await unlock(site);

  await target.ask(...verb, '--yes');
  const isGone = (when: string): Promise<void> => checkGone(site, { directory, replica, lsn }, when);
  await isGone('at once');
  await checkRefused(site);
  t.match(ledgerOf(site), /"event":"released",.*"why":"hypervisor 7"/);
  await target.kill();
  await target.restart();
  await isGone('after a restart');
  await allRefused(t, target, [[['points', machineName], 5, 'released', /hypervisor 7/]]);
  const rescued = await homeward([
    'rescue',
    target.inData('retention'),
    machineName,
    '--at',
    'latest',
    '--to',
    `raw:${target.inDirectory('rescued')}`,
    '--json',
  ]);
  t.match(
    rescued,
    { status: 5, err: /"code":"released"/ },
    'nor is it rescued from what is not its replica any more',
  );
  t.notMatch(target.log, /level=error/);
});

/** The replica holds the moment it was given away at, nobody has it open, and its history is gone. */
async function checkGone(
  { t, target, oracle, ...site }: HistorySite,
  { directory, replica, lsn }: { directory: string; replica: string; lsn: number },
  when: string,
): Promise<void> {
  const status = await target.status(machineName);
  t.match(status, { state: 'released', detail: /released to hypervisor 7 on .*as of lsn:/ }, when);
  for (const room of ['redo', 'undo', 'derived']) t.notOk(fs.existsSync(path.join(directory, room)), room);
  const descriptors = `/proc/${target.pid}/fd`;
  const open = fs.readdirSync(descriptors).map((fd) => tryLink(`${descriptors}/${fd}`));
  t.notOk(open.includes(replica), `${when}: the replica is not open`);
  const tags = site.tagLsns.filter((tag) => tag <= lsn).length;
  t.same(oracle.compare(fs.readFileSync(replica), lsn - tags), [], `${when}: it holds lsn:${lsn}`);
}

/** Every verb says the same. */
async function checkRefused({ t, target, socket }: HistorySite): Promise<void> {
  const disk = ['--disk', `${diskName}=${historyDiskBytes}`, '--listen', `unix:${socket}`];
  const verbs = [
    ['points', machineName],
    ['view', machineName, '--at', 'latest', '--listen', `unix:${socket}`],
    ['recover', machineName, '--at', 'latest', '--to', `raw:${target.inDirectory('out')}`],
    ['unpin', machineName],
    ['tag', machineName, '--name', 'late'],
    ['verify', machineName],
    ['ingest', 'open', machineName, ...disk],
    ['hand-over', machineName, '--release', 'hypervisor 7', '--yes'],
  ];
  await allRefused(
    t,
    target,
    verbs.map((args) => [args, 5, 'released', /was released to hypervisor 7/]),
  );
}

t.test('killed while it is given away, it is not begun, or it is given away', async (t) => {
  for (const spared of [2, 5, 8]) {
    const site = await HistorySite.start(t, longWindow);
    const { target, oracle } = site;
    await writeWithTags(site, ['a', 'b']);
    const lsn = site.tagLsns[0] ?? 0;
    await pinAt(site, lsn);
    const replica = (await site.status()).disks[0]?.replica ?? '';
    const to = { kind: 'release', name: 'esx1' } as const;
    const request = { machine: machineName, to, sourceIsOff: true };
    const stop = killWhen(site, (room, name) => room === '' && name.startsWith('machine.json'), spared);
    await handOver(target, request).catch((error: unknown) => t.comment(String(error)));
    stop();
    await target.kill();
    await target.restart();
    const { detail } = await site.status();
    t.comment(`killed after ${spared} changes of the machine file: ${detail}`);
    if (/is pinned/.test(detail ?? '')) await handOver(target, request);
    await until('it to be given away', async () => (await site.status()).state === 'released');
    t.same(oracle.compare(fs.readFileSync(replica), site.changesAt(lsn)), [], `it holds lsn:${lsn}`);
    t.equal(ledgerOf(site).match(/"event":"released"/g)?.length, 1);
    await target.kill();
  }
});

/** Nobody takes a lock back before its date; whoever has the files and stops the daemon can. */
async function unlock({ target, directory }: HistorySite): Promise<void> {
  await target.stop();
  const { readMachineFile, writeMachineFile } = await import('../../agent/replica/machine-file.ts');
  const file = path.join(directory, 'machine.json');
  const { locks: _locks, ...machine } = readMachineFile(file);
  for (let times = 0; times < 2; times += 1) writeMachineFile(file, machine);
  await target.restart();
}

function tryLink(file: string): string {
  try {
    return fs.readlinkSync(file);
  } catch {
    return ''; // closed meanwhile
  }
}
