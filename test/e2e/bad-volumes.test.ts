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
    message: /cannot be the replicas volume: it is retention volume/,
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
  for (const file of [
    target.inData('retention', 'homeward-volume.json'),
    target.inData('volumes.json'),
    target.inData('ingests.json'),
  ]) {
    const content = fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : null;
    fs.writeFileSync(file, (content ?? '{}').replace('"id"', '"ID"').slice(0, -3));
    const before = snapshot(target.data);
    const { status, code, message, hint } = await startRefused(['--data', target.data]);
    t.same({ status, code }, { status: 4, code: 'damaged' }, file);
    t.match(message, file);
    t.match(hint, /Put back the file/);
    t.same(snapshot(target.data), before);
    if (content === null) fs.rmSync(file);
    else fs.writeFileSync(file, content);
  }
  await target.restart();
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
