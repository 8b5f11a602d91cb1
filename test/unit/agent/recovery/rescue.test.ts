// Rescue: every moment of a bare directory comes back; what is missing or damaged is never wrong bytes.
import fs from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { previousFile } from '../../../../agent/replica/machine-file.ts';
import { ViewReader } from '../../../../agent/replica/view-reader.ts';
import { RescueClient } from '../../../../agent/recovery/rescue/client.ts';
import { RescuedMachine } from '../../../../agent/recovery/rescue/rescued-machine.ts';
import { unknownRanges } from '../../../../agent/recovery/rescue/rescue-unknown.ts';
import { readOnlyFiles } from '../../../../agent/recovery/rescue-files.ts';
import { errnoOf, HomewardError } from '../../../../core/errors.ts';
import { temporaryDirectory } from '../../../support/temporary.ts';
import { contentDamage, deletion, swap } from './damage-kinds.ts';
import {
  blockBytes,
  diskAt,
  diskBytes,
  id,
  lastLsn,
  makeHistory,
  timeAt,
  type SmallHistory,
} from './small-history.ts';

/** A history that nobody has open. */
async function bareHistory(t: Test): Promise<SmallHistory> {
  const history = await makeHistory(temporaryDirectory(t));
  for (const { fd } of history.segments) fs.closeSync(fd);
  await history.ledger.close();
  return history;
}

/** Every file below, with its content and times: nothing of it may change. */
function everythingIn(directory: string): string[] {
  return fs
    .readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((name) => {
      const { mtimeMs, size, ino } = fs.statSync(join(directory, name));
      return [name, mtimeMs, size, ino].join(' ');
    });
}

/** Blocks of every moment that can be read, compared with what was written; gives back how many cannot. */
function readAll(t: Test, { retention, replicas }: SmallHistory, from: string | null = replicas): number {
  const machine = new RescuedMachine(retention, id, from);
  let unreadable = 0;
  try {
    for (let lsn = machine.denseLsn ?? Infinity; lsn <= machine.durableLsn; lsn++) {
      const reader = new ViewReader(machine.hold(lsn).content, { files: readOnlyFiles });
      const expected = diskAt(lsn);
      const block = Buffer.alloc(blockBytes);
      for (let offset = 0; offset < diskBytes; offset += blockBytes) {
        try {
          reader.read(0, offset, block);
          if (!block.equals(expected.subarray(offset, offset + blockBytes)))
            t.fail(`lsn:${lsn}, offset ${offset}: other bytes than were written`);
        } catch (error) {
          if (!(error instanceof HomewardError) || error.code !== 'damaged') throw error;
          unreadable += 1;
        }
      }
    }
  } finally {
    machine.close();
  }
  return unreadable;
}

t.test('every moment is there, and nothing in the directory changes', async (t) => {
  const history = await bareHistory(t);
  const before = everythingIn(history.retention);
  const machine = new RescuedMachine(history.retention, id, history.replicas);
  t.equal(machine.denseLsn, 0);
  t.equal(machine.durableLsn, lastLsn);
  machine.close();
  t.equal(readAll(t, history), 0);
  t.same(everythingIn(history.retention), before);
});

t.test('without replicas redo that goes back to the first record tells everything', async (t) => {
  const history = await bareHistory(t);
  fs.rmSync(history.replicas, { recursive: true });
  for (const replicas of [null, history.replicas]) {
    const machine = new RescuedMachine(history.retention, id, replicas);
    for (const lsn of [0, 13, 20, lastLsn]) t.same(unknownRanges(machine.hold(lsn).content), []);
    machine.close();
    t.equal(readAll(t, history, replicas), 0);
  }
});

t.test('the list names disks, points, and what is missing', async (t) => {
  const history = await bareHistory(t);
  const source = { retention: history.retention, replicas: history.replicas };
  const [found] = new RescueClient(source).list();
  t.match(found, {
    ...{ machine: 'web', id, damaged: [] },
    disks: [{ name: 'root', size: diskBytes, replicaMissing: null }],
    window: { from: { lsn: 0 }, to: { lsn: lastLsn, time: '2023-11-14T22:13:50.000000Z' } },
    latest: { lsn: lastLsn },
  });
  fs.unlinkSync(history.steps[0]?.path ?? '');
  fs.unlinkSync(history.replica);
  const [less] = new RescueClient(source).list();
  t.match(less?.disks, [{ replicaMissing: /ENOENT/ }]);
  t.match(less?.damaged, [{ file: history.steps[0]?.path, what: 'the file is missing' }]);
  fs.rmSync(history.paths.cursorFile);
  const [least] = new RescueClient(source).list();
  t.match(least, { machine: 'web', id, window: { to: { lsn: lastLsn } }, disks: [{ name: 'root' }] });
  const why =
    /cursor is missing; the end of the last step, by ledger and undo, .*: lsn:20. No replica is used/;
  t.match(least?.damaged, [{ file: history.paths.cursorFile, what: why }, {}]);
});

t.test('a moment is found by its time, by its LSN and as the latest', async (t) => {
  const history = await bareHistory(t);
  const client = new RescueClient({ retention: history.retention, replicas: history.replicas });
  const plan = (at: string): Promise<number> =>
    client
      .planRecovery({
        ...{ machine: 'web', at, overwrite: [] },
        target: { kind: 'raw', directory: join(history.replicas, 'out') },
      })
      .then(({ lsn }) => lsn);
  t.equal(await plan('latest'), lastLsn);
  t.equal(await plan('lsn:13'), 13);
  t.equal(await plan(new Date(timeAt(13) / 1000 + 500).toISOString()), 13);
  await t.rejects(plan('lsn:31'), { code: 'outside-window' });
  await t.rejects(plan('tag:none'), { code: 'no-such-tag' });
  await t.rejects(
    client.planRecovery({
      machine: 'none',
      at: 'latest',
      target: { kind: 'raw', directory: '/' },
      overwrite: [],
    }),
    {
      code: 'no-such-machine',
    },
  );
});

t.test('a directory that holds no machine is refused', (t) => {
  const directory = temporaryDirectory(t);
  const list = (retention: string): unknown => new RescueClient({ retention, replicas: null }).list();
  t.throws(() => list(directory), { code: 'not-a-volume' });
  t.throws(() => list(join(directory, 'none')), { code: 'no-such-file' });
  t.throws(() => list(import.meta.filename), { code: 'no-such-file', message: /is a file/ });
  t.end();
});

const files: Record<string, (history: SmallHistory) => string> = {
  'the first redo segment': ({ segments }) => segments[0]?.path ?? '',
  'a redo segment': ({ segments }) => segments[1]?.path ?? '',
  'the newest redo segment': ({ segments }) => segments[2]?.path ?? '',
  'the older undo': ({ steps }) => steps[0]?.path ?? '',
  'the newer undo': ({ steps }) => steps[1]?.path ?? '',
  'the ledger': ({ paths }) => paths.ledger,
  'the cursor': ({ paths }) => paths.cursorFile,
  'machine.json': ({ paths }) => paths.machineFile,
  'the file beside machine.json': ({ paths }) => previousFile(paths.machineFile),
  'the replica': ({ replica }) => replica,
  'the checksums of the replica': ({ paths }) => join(paths.derived, 'sums-0'),
};

for (const [name, pick] of Object.entries(files))
  for (const kind of [...contentDamage, deletion])
    t.test(`${name}: ${kind.name}: no wrong byte at any moment`, async (t) => {
      const history = await bareHistory(t);
      kind.apply(pick(history));
      const before = everythingIn(history.retention);
      try {
        t.comment(`${readAll(t, history)} blocks cannot be read`);
      } catch (error) {
        t.match(error, { code: 'damaged' }, 'refused as a whole');
      }
      t.same(everythingIn(history.retention), before);
    });

t.test('a cursor with one damaged copy costs no block, nor one with two while redo is whole', async (t) => {
  const history = await bareHistory(t);
  const { cursorFile } = history.paths;
  const written = fs.readFileSync(cursorFile);
  const half = written.length / 2;
  const damage = (...places: number[]): void => {
    const bytes = Buffer.from(written);
    for (const at of places) bytes.fill(0xff, at, at + 4);
    fs.writeFileSync(cursorFile, bytes);
  };
  for (const at of [60, half + 60]) {
    damage(at);
    const before = everythingIn(history.retention);
    t.equal(readAll(t, history), 0);
    t.same(everythingIn(history.retention), before, 'a rescue mends nothing');
  }
  damage(60, half + 60);
  t.equal(readAll(t, history), 0);
  const [found] = new RescueClient({ retention: history.retention, replicas: history.replicas }).list();
  t.match(found, { machine: 'web', id, damaged: [{ what: /cursor does not have the content/ }] });
});

t.test('files that changed places give no wrong byte', async (t) => {
  for (const [one, other] of [
    ['the first redo segment', 'a redo segment'],
    ['the older undo', 'the newer undo'],
    ['a redo segment', 'the newer undo'],
  ] as const) {
    const history = await bareHistory(t);
    swap(files[one]?.(history) ?? '', files[other]?.(history) ?? '');
    readAll(t, history);
  }
  t.pass();
});

t.test('the files of a rescue take no write', async (t) => {
  const file = join(temporaryDirectory(t), 'file');
  t.throws(() => readOnlyFiles.create(file), { code: 'EROFS' });
  fs.writeFileSync(file, 'x');
  const fd = readOnlyFiles.open(file);
  t.throws(() => readOnlyFiles.write(fd, [Buffer.from('y')], 0), { code: 'EROFS' });
  t.throws(() => fs.writeSync(fd, 'y'), { code: 'EBADF' });
  await readOnlyFiles.sync(fd).catch((error: unknown) => t.equal(errnoOf(error), 'EROFS'));
  readOnlyFiles.close(fd);
});
