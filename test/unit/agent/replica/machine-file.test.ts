// The machine file: what is written is what is read, and one damaged file of two is no loss.
import fs from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import {
  previousFile,
  readMachineFile,
  writeMachineFile,
  type MachineFile,
} from '../../../../agent/replica/machine-file.ts';

const machine: MachineFile = {
  id: '3f1c',
  name: 'web',
  created: '2026-01-31T14:05:00.000000Z',
  disks: [{ name: 'root', size: 512, replica: { kind: 'file' } }],
  seeding: true,
};
const seeded = { ...machine, seeding: false };

t.test('a machine file comes back as it was written, and what it had before lies beside it', async (t) => {
  const file = join(t.testdir(), 'machine.json');
  writeMachineFile(file, machine);
  t.same(readMachineFile(file), machine);
  t.same(readMachineFile(previousFile(file)), machine, 'at first the same');
  writeMachineFile(file, seeded);
  t.same(readMachineFile(file), seeded);
  t.same(readMachineFile(previousFile(file)), machine);
});

t.test('a damaged or missing one is stood in for, and that is told', async (t) => {
  const file = join(t.testdir(), 'machine.json');
  for (const damage of [(): void => fs.rmSync(file), (): void => fs.writeFileSync(file, '{')]) {
    writeMachineFile(file, machine);
    damage();
    const why: string[] = [];
    t.same(
      readMachineFile(file, ({ message }) => why.push(message)),
      machine,
    );
    t.match(why, [/machine\.json is (missing|not JSON)/]);
  }
});

t.test('a damaged one never becomes the one that stands in', async (t) => {
  const file = join(t.testdir(), 'machine.json');
  writeMachineFile(file, machine);
  fs.writeFileSync(file, '{');
  writeMachineFile(file, seeded);
  t.same(readMachineFile(previousFile(file)), seeded);
});

t.test('when both are damaged the first is named, with what to do', async (t) => {
  const file = join(t.testdir(), 'machine.json');
  t.throws(() => readMachineFile(file), { code: 'damaged', message: /machine\.json is missing/ });
  writeMachineFile(file, machine);
  fs.writeFileSync(file, '{');
  fs.rmSync(previousFile(file));
  t.throws(() => readMachineFile(file), {
    code: 'damaged',
    message: /machine\.json is not JSON/,
    hint: /Put back .*machine\.json or .*machine\.json\.previous from a copy.*other machines go on/,
  });
});
