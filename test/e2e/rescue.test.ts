// Rescue as users run it: a killed master target's volume alone gives every moment back, and is not changed.
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import type { RecoverReport } from '../../agent/control/client.ts';
import type { Rescuable } from '../../agent/recovery/rescue/client.ts';
import { MiB } from '../../core/units.ts';
import { homeward, MasterTarget } from '../support/homeward.ts';
import { Oracle } from '../support/oracle.ts';
import { OracleWriter } from '../support/oracle-writer.ts';
import { chooseSeed, seededRandom } from '../support/random.ts';

const size = 16 * MiB;
t.setTimeout(240_000);

interface Bare {
  oracle: Oracle;
  retention: string;
  replicas: string;
  random: ReturnType<typeof seededRandom>;
  out: string;
}

/** What a master target leaves that was killed while it had 200 writes. */
async function bareVolume(t: Test): Promise<Bare> {
  const random = seededRandom(chooseSeed(t));
  const target = await MasterTarget.start(t, { ReplicaLag: '0s', SegmentBytes: '1M' });
  const oracle = new Oracle(0, size);
  const socket = await target.ingest('box', [`disk=${size}`]);
  const writer = await OracleWriter.connect(socket, 'disk', { oracle, random });
  await writer.writeMore(200);
  await target.ask('tag', 'box', '--name', 'before');
  await target.kill();
  const [retention, replicas] = [target.inData('retention'), target.inData('replicas')];
  return { oracle, retention, replicas, random, out: target.inDirectory('out') };
}

async function ask<T>(...args: string[]): Promise<T> {
  const { out, err } = await homeward([...args, '--json']);
  const last = out.trimEnd().split('\n').at(-1) ?? '';
  if (last === '') throw new Error(`homeward ${args.join(' ')}: ${err}`);
  return JSON.parse(last) as T;
}

/** Every file below with its size, inode and time of change. */
function everythingIn(directory: string): string[] {
  const names = fs.readdirSync(directory, { recursive: true, encoding: 'utf8' }).toSorted();
  return names.map((name) => {
    const { size: bytes, ino, mtimeMs } = fs.statSync(path.join(directory, name));
    return [name, bytes, ino, mtimeMs].join(' ');
  });
}

t.test('machines are listed and recovered from directories alone, which stay as they are', async (t) => {
  const { oracle, retention, replicas, random, out } = await bareVolume(t);
  const before = [everythingIn(retention), everythingIn(replicas)];
  const { machines } = await ask<{ machines: Rescuable[] }>('rescue', retention, '--replicas', replicas);
  t.match(machines, [{ machine: 'box', damaged: [], disks: [{ name: 'disk', size, replicaMissing: null }] }]);
  t.match(machines[0]?.tags, [{ name: 'before' }]);
  const from = machines[0]?.window?.from.lsn ?? 0;
  const to = machines[0]?.window?.to.lsn ?? 0;
  t.ok(to >= 201, `${to} records`);
  for (const lsn of [from, from + random.below(to - from), to]) {
    const directory = path.join(out, String(lsn));
    const args = ['rescue', retention, 'box', '--replicas', replicas, '--at', `lsn:${lsn}`];
    const { result } = await ask<{ result: RecoverReport }>(...args, '--to', `raw:${directory}`);
    t.match(result, { machine: 'box', lsn });
    t.same(oracle.compare(fs.readFileSync(path.join(directory, 'disk.raw')), lsn), [], `lsn:${lsn}`);
  }
  t.same([everythingIn(retention), everythingIn(replicas)], before);
  const { status, out: text } = await homeward(['rescue', retention, '--replicas', replicas]);
  t.equal(status, 0);
  t.match(text, /Machine box .*\n.*disk disk +16 MiB, replica is there/);
});

t.test('without the replicas it refuses what is unknown, and with leave writes zeros there', async (t) => {
  const { retention, out } = await bareVolume(t);
  const files = fs.readdirSync(retention, { recursive: true, encoding: 'utf8' });
  const [first = ''] = files.filter((name) => name.includes('/redo/') && name.endsWith('.seg')).toSorted();
  fs.unlinkSync(path.join(retention, first));
  const args = ['rescue', retention, 'box', '--at', 'latest', '--to', `raw:${out}`];
  const { status, err } = await homeward(args);
  t.equal(status, 4);
  t.match(err, /bytes at lsn:\d+ are unknown: disk \[.*the replica of disk is missing/);
  t.notOk(fs.existsSync(path.join(out, 'disk.raw')));
  const { result } = await ask<{ result: RecoverReport }>(...args, '--allow-damaged');
  t.ok((result.damaged ?? []).length > 0);
  const disk = fs.readFileSync(path.join(out, 'disk.raw'));
  for (const { start, end } of result.damaged ?? [])
    t.ok(disk.subarray(start, end).every((byte) => byte === 0));
});

t.test('a running master target verifies itself, and names what was damaged', async (t) => {
  const random = seededRandom(chooseSeed(t));
  const target = await MasterTarget.start(t);
  const oracle = new Oracle(0, size);
  const socket = await target.ingest('box', [`disk=${size}`]);
  const writer = await OracleWriter.connect(socket, 'disk', { oracle, random });
  await writer.writeMore(100);
  const sound = await target.command(['verify', 'box']);
  t.equal(sound.status, 0, sound.out);
  t.match(sound.out, /The history of machine box is sound: .*\nRead: redo .*lines of the ledger/);
  const [machine = ''] = fs.readdirSync(target.inData('retention')).filter((name) => name.includes('-'));
  const ledger = target.inData('retention', machine, 'ledger');
  const bytes = fs.readFileSync(ledger);
  bytes[10]! ^= 1;
  fs.writeFileSync(ledger, bytes);
  const damaged = await target.command(['verify', 'box']);
  t.equal(damaged.status, 1);
  t.match(damaged.out, /ledger .*line 1 is damaged/);
});
