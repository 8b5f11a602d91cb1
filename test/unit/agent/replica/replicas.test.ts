// Replicas that are files: made again only while they have never held anything, else asked for by name.
import fs from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { MachineFile } from '../../../../agent/replica/machine-file.ts';
import { createReplicas, openReplicas } from '../../../../agent/replica/replicas.ts';
import { createLog, silentLog } from '../../../../core/log.ts';

const size = 1024 * 1024;
const machine: MachineFile = {
  id: '3f1c',
  name: 'web',
  created: '2026-01-31T14:05:00.000000Z',
  disks: [{ name: 'root', size, replica: { kind: 'file' } }],
  seeding: false,
};

function made(t: Test): { replicas: string; file: string } {
  const replicas = t.testdir();
  createReplicas(replicas, machine);
  return { replicas, file: join(replicas, machine.id, 'root.raw') };
}

t.test('a missing or short file is asked for by its name, not as a device', async (t) => {
  const { replicas, file } = made(t);
  const hint = new RegExp(`^Put back ${file} as it was, or mount the volume`);
  const open = (): Promise<unknown> => openReplicas(replicas, machine, { untouched: false, log: silentLog });
  fs.truncateSync(file, 512);
  await t.rejects(open(), { code: 'target-too-small', hint });
  fs.rmSync(file);
  await t.rejects(open(), { code: 'target-missing', hint });
  t.notOk(fs.existsSync(file), 'and it is not made');
});

t.test('where nothing was ever applied it is made again, unless its directory is gone', async (t) => {
  const { replicas, file } = made(t);
  const lines: string[] = [];
  const options = { untouched: true, log: createLog('info', (line) => lines.push(line)) };
  fs.rmSync(file);
  for (const store of await openReplicas(replicas, machine, options)) {
    t.equal(store.size, size);
    await store.close();
  }
  t.match(lines, [/^<4>.*event=replica-made-again .*root\.raw/]);
  fs.rmSync(join(replicas, machine.id), { recursive: true });
  await t.rejects(openReplicas(replicas, machine, options), { code: 'target-missing' });
});
