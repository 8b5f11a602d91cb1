// What machine.json says of retention and locks comes back as it was written; a lock that cannot be read is
// damage, never no lock.
import { join } from 'node:path';
import t from 'tap';
import {
  readMachineFile,
  writeMachineFile,
  type MachineFile,
} from '../../../../agent/replica/machine-file.ts';

const machine: MachineFile = {
  id: '3f1c',
  name: 'web',
  created: '2026-01-31T14:05:00.000000Z',
  disks: [{ name: 'root', size: 512, replica: { kind: 'file' } }],
  seeding: false,
  retention: { windowMs: 3600_000, keep: 'hourly=7d', maxBytes: 0, floorMs: 60_000 },
  locks: [{ lsn: 12, until: '2027-01-31T00:00:00.000000Z', since: '2026-01-31T00:00:00.000000Z', name: 'x' }],
};

t.test('retention and locks are written and read', async (t) => {
  const file = join(t.testdir(), 'machine.json');
  writeMachineFile(file, machine);
  t.same(readMachineFile(file), machine);
});

t.test('what cannot be read of them is damage', async (t) => {
  for (const [at, change] of [
    { locks: [{ lsn: 12 }] },
    { locks: [{ lsn: 12, until: 'soon' }] },
    { locks: [{ lsn: 0.5, until: '2027-01-31T00:00:00Z' }] },
    { locks: {} },
    { retention: { windowMs: '24h' } },
    { retention: { keep: 7 } },
    { retention: null },
  ].entries()) {
    const file = join(t.testdir({}), `${at}.json`);
    writeMachineFile(file, { ...machine, ...change } as MachineFile);
    t.throws(() => readMachineFile(file), { code: 'damaged' }, JSON.stringify(change));
  }
});
