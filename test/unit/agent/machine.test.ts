// A machine whose small files cannot be written: nothing counts as done that a crash would undo.
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { Machine } from '../../../agent/machine.ts';
import { directStepWork } from '../../../agent/replica/step-work.ts';
import { machinePaths } from '../../../agent/machine-paths.ts';
import { hostClock } from '../../../core/clock.ts';
import { loadConfig } from '../../../core/config.ts';
import { BackgroundMerger } from '../../../core/extents/background-merger.ts';
import { hostFiles } from '../../../core/files/host-files.ts';
import { silentLog } from '../../../core/log.ts';
import { MiB } from '../../../core/units.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

async function makeMachine(t: Test): Promise<Machine> {
  const retention = temporaryDirectory(t);
  const merger = new BackgroundMerger(silentLog);
  const config = loadConfig({ file: null, environment: { HOMEWARD_SEGMENT_BYTES: '64K' }, log: silentLog });
  const context = { retention, replicas: path.join(retention, 'replicas'), config, clock: hostClock() };
  const machine = await Machine.create(
    { ...context, log: silentLog, merger, work: directStepWork(hostFiles) },
    {
      id: crypto.randomUUID(),
      name: 'web',
      disks: [{ name: 'root', size: MiB, replica: { kind: 'file' } }],
      seeding: false,
    },
  );
  t.teardown(async () => {
    await machine.close();
    await merger.close();
  });
  return machine;
}

/** As on a full volume: the file cannot be replaced until the returned function is called. */
function holdBack(file: string): () => void {
  fs.mkdirSync(`${file}.new`);
  return () => fs.rmdirSync(`${file}.new`);
}

t.test('a cursor that could not be written has not moved: redo below it is still needed', async (t) => {
  const machine = await makeMachine(t);
  machine.moveCursor({ lsn: 5, stepTo: 9 });
  const release = holdBack(machine.paths.cursorFile);
  t.throws(() => machine.moveCursor({ lsn: 9, stepTo: null }));
  t.match(machine.cursor, { lsn: 5, stepTo: 9 });
  release();
  machine.moveCursor({ lsn: 9, stepTo: null });
  t.match(machine.cursor, { lsn: 9, stepTo: null });
  machine.moveCursor({ lsn: 0 });
});

t.test('disks that could not be written down have not changed: the next sync says them again', async (t) => {
  const machine = await makeMachine(t);
  const grown = machine.file.disks.map((disk) => ({ ...disk, size: 2 * MiB }));
  const release = holdBack(machinePaths(path.dirname(machine.paths.directory), machine.id).machineFile);
  t.throws(() => machine.changeFile({ disks: grown }));
  t.equal(machine.file.disks[0]?.size, MiB);
  release();
  machine.changeFile({ disks: grown });
  t.equal(machine.file.disks[0]?.size, 2 * MiB);
});

t.test('a segment that has no records yet is no moment', async (t) => {
  const machine = await makeMachine(t);
  await machine.journal.tag({ name: 'one', consistency: 'crash' });
  const { time } = await machine.journal.tag({ name: 'two', consistency: 'crash' });
  machine.journal.roll();
  t.equal(machine.journal.lsnAtTime(time - 60_000_000, 0), 0);
  t.equal(machine.journal.lsnAtTime(time, 0), 2);
});
