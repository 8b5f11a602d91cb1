// A volume that is missing, empty, another's or not ours: the daemon does not start, and makes nothing in its
// place.
import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { writeSealedJson } from '../../core/atomic-file.ts';
import { MasterTarget, nbdUri, runOk } from '../support/homeward.ts';
import { skipUnless } from '../support/needs.ts';
import { startRefused } from '../support/refusals.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { mountInPlace, snapshot } from '../support/volumes.ts';

const tools = skipUnless({ commands: ['qemu-io', 'nbdinfo'] });
const mounts = skipUnless({
  root: true,
  commands: ['qemu-io', 'mkfs.ext4', 'mount'],
  files: ['/dev/loop-control'],
});

const write = (socket: string, pattern: number): Promise<string> =>
  runOk('qemu-io', ['-f', 'raw', '-c', `write -P ${pattern} 0 64k`, '-c', 'flush', nbdUri(socket, 'root')]);
const check = (socket: string, pattern: number): Promise<string> =>
  runOk('qemu-io', ['-f', 'raw', '-r', '-c', `read -P ${pattern} 0 64k`, nbdUri(socket, 'root')]);

/** A stopped master target with a machine that has one write. */
async function used(t: Test): Promise<MasterTarget> {
  const target = await MasterTarget.start(t, { SegmentBytes: '1M', RetentionReserveBytes: '0' });
  await write(await target.ingest('web', ['root=16M']), 7);
  t.equal(await target.stop(), 0);
  return target;
}

for (const kind of ['retention', 'replicas'] as const) {
  t.test(`a ${kind} volume that was used before has to be there again`, { skip: tools }, async (t) => {
    const target = await used(t);
    const place = target.inData(kind);
    const away = target.inDirectory('away');
    fs.renameSync(place, away);
    const kept = snapshot(away);
    const refused = async (what: RegExp): Promise<void> => {
      const before = snapshot(target.directory);
      const { status, code, message, hint } = await startRefused(['--data', target.data]);
      t.same({ status, code }, { status: 6, code: 'volume-not-mounted' });
      t.match(message, `the ${kind} volume is not mounted`);
      t.match(message, what);
      t.match(message, place, 'it says where');
      t.match(hint, /Mount the volume/);
      t.same(snapshot(target.directory), before, 'nothing was made');
    };
    await refused(/does not exist/);
    fs.mkdirSync(place);
    await refused(/is empty/);
    fs.writeFileSync(path.join(place, 'letter.txt'), 'dear user');
    await refused(/carries no homeward-volume\.json/);
    fs.rmSync(place, { recursive: true });
    fs.mkdirSync(place);
    const identity = { id: randomUUID(), kind, created: new Date().toISOString() };
    writeSealedJson(path.join(place, 'homeward-volume.json'), 'homeward-volume', identity);
    await refused(new RegExp(`is ${kind} volume [0-9a-f-]{36}`));
    fs.rmSync(place, { recursive: true });
    fs.renameSync(away, place);
    await target.restart();
    t.same(
      Object.keys(snapshot(place)).filter((name) => !(name in kept)),
      [],
      'the volume came through unchanged',
    );
    await check(target.inDirectory('web.sock'), 7);
  });
}

t.test('an unused directory that is not empty does not become a volume', async (t) => {
  for (const flag of ['--retention', '--replicas']) {
    const directory = temporaryDirectory(t);
    const foreign = path.join(directory, 'photos');
    fs.mkdirSync(foreign);
    fs.writeFileSync(path.join(foreign, 'cat.jpg'), 'miaow');
    const { status, code, message } = await startRefused([
      '--data',
      path.join(directory, 'data'),
      flag,
      foreign,
    ]);
    t.same({ status, code }, { status: 6, code: 'not-a-volume' });
    t.match(message, /it holds cat\.jpg/);
    t.same(fs.readdirSync(foreign), ['cat.jpg']);
  }
});

t.test('a directory cannot be both volumes, and a file is none', async (t) => {
  const directory = temporaryDirectory(t);
  const both = path.join(directory, 'both');
  const data = path.join(directory, 'data');
  const twice = await startRefused(['--data', data, '--retention', both, '--replicas', both]);
  t.match(twice, {
    status: 6,
    code: 'not-a-volume',
    message: `${both} cannot be both the retention and the replicas volume`,
  });
  const file = path.join(directory, 'file');
  fs.writeFileSync(file, '');
  t.match(await startRefused(['--data', file]), {
    status: 6,
    code: 'not-a-volume',
    message: `${file} is not a directory`,
  });
  t.match(await startRefused(['--data', path.join(file, 'below')]), { status: 6, code: 'not-a-volume' });
  t.match(await startRefused(['--data', path.join(directory, 'other'), '--retention', file]), {
    status: 6,
    code: 'not-a-volume',
    message: `${file} is not a directory`,
  });
});

t.test('a damaged identity is not replaced by a new one', async (t) => {
  const target = await MasterTarget.start(t);
  await target.stop();
  for (const file of [target.inData('retention', 'homeward-volume.json'), target.inData('volumes.json')]) {
    const content = fs.readFileSync(file, 'utf8');
    fs.writeFileSync(file, content.replace('"id"', '"ID"').slice(0, -3));
    const before = snapshot(target.data);
    const { status, code, message, hint } = await startRefused(['--data', target.data]);
    t.same({ status, code }, { status: 4, code: 'damaged' }, file);
    t.match(message, file);
    t.match(hint, /Put back the file/);
    t.same(snapshot(target.data), before);
    fs.writeFileSync(file, content);
  }
  const records = target.inData('volumes.json');
  fs.writeFileSync(records, '{');
  const { hint } = await startRefused(['--data', target.data]);
  t.match(hint, `move ${records} away, and start again`);
  fs.rmSync(records);
  await target.restart();
});

t.test('a damaged list of ingests is set aside, and everything else starts', { skip: tools }, async (t) => {
  const target = await used(t);
  const file = target.inData('ingests.json');
  fs.writeFileSync(file, fs.readFileSync(file, 'utf8').slice(0, -3));
  const damaged = fs.readFileSync(file, 'utf8');
  await target.restart();
  t.match(await target.status('web'), { state: 'idle', listen: null });
  t.equal(fs.readFileSync(`${file}.damaged`, 'utf8'), damaged);
  t.match(target.log, /level=error event=ingests-damaged .*ingests\.json .*homeward ingest open M/);
  await check(await target.ingest('web', ['root=16M']), 7);
});

t.test('a machine whose directory is gone from the volume is still in status', { skip: tools }, async (t) => {
  const target = await used(t);
  const id = fs.readdirSync(target.inData('retention')).find((name) => /^[0-9a-f-]{36}$/.test(name)) ?? '';
  const directory = target.inData('retention', id);
  fs.renameSync(directory, target.inDirectory('away'));
  await target.restart();
  t.match(await target.status(id), { state: 'failed', detail: `${directory} is missing` });
  await target.stop();
  fs.renameSync(target.inDirectory('away'), directory);
  await target.restart();
  t.match(await target.status('web'), { state: 'ok' });
  await target.stop();
  fs.rmSync(directory, { recursive: true });
  await target.restart();
  t.match(await target.ask('ingest', 'close', id), { changed: true });
  t.same((await target.client.status()).machines, [], 'it can be forgotten');
});

t.test('a start that is refused because a volume is in use records nothing', async (t) => {
  const target = await MasterTarget.start(t);
  const data = target.inDirectory('other');
  for (const kind of ['retention', 'replicas'] as const) {
    const refused = await startRefused(['--data', data, `--${kind}`, target.inData(kind)]);
    t.match(refused, { code: 'already-running', message: `${target.inData(kind)} is in use` });
    t.notOk(fs.existsSync(path.join(data, 'volumes.json')), `${kind}: the volume is not recorded as its own`);
  }
  const own = await startRefused(['--data', data, '--control', target.control]);
  t.match(own, { code: 'already-running', message: `another daemon answers on ${target.control}` });
});

t.test('one data directory, and one retention directory, have one daemon', async (t) => {
  const target = await MasterTarget.start(t);
  const before = snapshot(target.data);
  const same = await startRefused(['--data', target.data]);
  t.match(same, {
    status: 5,
    code: 'already-running',
    message: new RegExp(`${target.data} is in use by a master target with process id ${target.pid}`),
  });
  const other = target.inDirectory('other');
  const shared = await startRefused(['--data', other, '--retention', target.inData('retention')]);
  t.match(shared, { status: 5, code: 'already-running', message: `${target.inData('retention')} is in use` });
  const socket = await startRefused(['--data', target.inDirectory('third'), '--control', target.control]);
  t.match(socket, {
    status: 5,
    code: 'already-running',
    message: `another daemon answers on ${target.control}`,
  });
  t.same(snapshot(target.data), before);
  await target.ask('status');
});

t.test(
  'a retention volume that is unmounted is missed, and its mount point stays empty',
  { skip: mounts },
  async (t) => {
    const target = await used(t);
    const retention = target.inData('retention');
    const volume = mountInPlace(t, retention, 64, () => target.kill());
    await target.restart();
    await write(target.inDirectory('web.sock'), 8);
    t.equal(await target.stop(), 0);
    volume.unmount();
    const { status, code, message } = await startRefused(['--data', target.data]);
    t.same({ status, code }, { status: 6, code: 'volume-not-mounted' });
    t.match(message, /is missing at .*, which is empty/);
    t.same(fs.readdirSync(retention), []);
    volume.mount();
    await target.restart();
    await check(target.inDirectory('web.sock'), 8);
  },
);

t.test(
  'what can only be read is refused in words, and is served again once it can be written',
  { skip: mounts },
  async (t) => {
    const target = await used(t);
    const volume = mountInPlace(t, target.inData('retention'), 64, () => target.kill());
    volume.remount('ro');
    const before = snapshot(target.data);
    const refused = await startRefused(['--data', target.data]);
    t.match(refused, {
      status: 6,
      code: 'not-writable',
      message: /read-only file system.*retention/,
      hint: /Mount it for writing/,
    });
    t.same(snapshot(target.data), before);
    const fresh = await startRefused(['--data', path.join(target.inData('retention'), 'data')]);
    t.match(fresh, { status: 6, code: 'not-writable', message: /read-only file system/ });
    const own = await startRefused([
      '--data',
      target.inDirectory('third'),
      '--retention',
      path.join(target.inData('retention'), 'new'),
    ]);
    t.match(own, { status: 6, code: 'not-writable' });
    volume.remount('rw');
    await target.restart();
    await check(target.inDirectory('web.sock'), 7);
  },
);
