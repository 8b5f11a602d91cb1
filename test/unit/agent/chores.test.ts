// The lines of the ledger that are written beside everything else: none of them says that a file must be
// there that is about to go.
import t from 'tap';
import { Chores } from '../../../agent/chores.ts';
import { LedgerFiles } from '../../../agent/journal/ledger-files.ts';
import type { LedgerEntry } from '../../../agent/journal/ledger-line.ts';
import type { Machine } from '../../../agent/machine.ts';
import { SumsKeeper } from '../../../agent/sums-keeper.ts';
import { silentLog } from '../../../core/log.ts';

const directory = '/retention/m';

/** Three segments of ten records each, none of which the ledger knows; the last takes records still. */
function machineWith(cursor: { pruned: number }): {
  machine: Machine;
  lines: LedgerEntry[];
  files: LedgerFiles;
} {
  const files = new LedgerFiles();
  const lines: LedgerEntry[] = [];
  const segments = [1, 11, 21].map((firstLsn) => ({
    ...{ firstLsn, lastLsn: firstLsn + 9, path: `${directory}/redo/${firstLsn}.seg`, end: 64, fd: 0 },
    ...{ users: 0, retired: false },
  }));
  const ledger = {
    expected: () => files,
    settle: async () => undefined,
    append: (entry: LedgerEntry) => {
      const { file, ...rest } = entry;
      const named = file === undefined ? {} : { file: file.slice(directory.length + 1) };
      lines.push({ ...rest, ...named } as LedgerEntry);
      files.take({ ...rest, ...named } as LedgerEntry);
    },
  };
  const undo = { leftovers: [], nodesWanted: () => [], steps: [] };
  const machine = {
    ...{ id: 'm', name: 'web', openedLsn: 0, ledger, cursor, paths: { directory } },
    ...{ history: { undo }, journal: { segments, durableLsn: 30, source: {} } },
    ...{ sums: new SumsKeeper(), file: {}, lentDisks: [], heal: { keepNames: () => Promise.resolve([]) } },
  };
  return { machine: machine as unknown as Machine, lines, files };
}

async function round(machine: Machine, whileHashing: () => void = () => undefined): Promise<void> {
  const work = {
    buildNode: () => Promise.reject(new Error('there is none to build')),
    hashFile: async () => {
      whileHashing();
      return 'aa';
    },
    fillSums: async () => ({ next: null, lost: false, bytes: 0 }),
  };
  const chores = new Chores({ work, log: silentLog });
  chores.look(machine);
  await chores.settled('m');
}

t.test('a complete segment is written down with its hash, once', async (t) => {
  const { machine, lines } = machineWith({ pruned: 0 });
  await round(machine);
  await round(machine);
  t.match(lines, [
    { event: 'sealed', file: 'redo/1.seg', from: 1, to: 10 },
    { event: 'sealed', file: 'redo/11.seg', from: 11, to: 20 },
  ]);
  t.equal(lines.length, 2);
});

t.test('one that is pruned while its hash is reckoned is not said to be there', async (t) => {
  const cursor = { pruned: 0 };
  const { machine, files } = machineWith(cursor);
  await round(machine, () => {
    cursor.pruned = 10;
  });
  t.same([...files.redo.keys()], ['redo/11.seg']);
});

t.test('redo that went before its line could be written is not missed after a start', async (t) => {
  const { machine, lines, files } = machineWith({ pruned: 20 });
  for (const from of [1, 11])
    files.take({ event: 'sealed', file: `redo/${from}.seg`, from, to: from + 9 } as LedgerEntry);
  await round(machine);
  t.match(lines, [{ event: 'pruned', from: 0, to: 20 }]);
  t.equal(files.count, 0);
});
