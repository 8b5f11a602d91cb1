// Reads everything that a machine keeps and compares it with its checksums and its ledger: what is covered,
// what is damaged, what is missing.
import type { OnProgress, VerifyRequest } from '../control/service.ts';
import type { Journal } from '../journal/journal.ts';
import type { Ledger } from '../journal/ledger.ts';
import type { Cursor } from '../replica/cursor.ts';
import type { MachineFile, ProtectedDisk } from '../replica/machine-file.ts';
import type { UndoLog } from '../replica/undo/undo-log.ts';
import type { LentDisk } from '../replica/undo/undo-step.ts';
import { checkBooks, type Books } from './verify-books.ts';
import type { Finding } from './verify-finding.ts';
import { findForeign, findMissing, listHistory, type Inventory } from './verify-inventory.ts';
import { lostRecords } from './verify-redo.ts';
import { describeFinding, type MachineVerification } from './verify-report.ts';
import { resyncWords } from './verify-words.ts';
import { Sweep, type PieceChecker, type SweepHistory } from './verify-sweep.ts';
import { keepPlace, readPlace } from './verify-place.ts';
import { VerifyThread } from './verify-thread.ts';

/** What is asked of a machine; all of it as it is at the moment. */
export interface Verifiable {
  readonly name: string;
  readonly file: MachineFile;
  readonly paths: Books['paths'] & { directory: string; derived: string };
  readonly journal: Pick<Journal, 'segments' | 'commit' | 'catalogue' | 'noteDamage'> & {
    readonly source: Pick<Journal['source'], 'machine'>;
  };
  readonly cursor: Readonly<Cursor>;
  readonly ledger: Pick<Ledger, 'head' | 'cut' | 'expected' | 'settle'>;
  readonly history: {
    readonly undo: Pick<UndoLog, 'steps' | 'holes' | 'leftovers' | 'lend' | 'openFileOf'>;
    /** Odd while a step is open. */
    readonly counter: number;
  };
  readonly lentDisks: LentDisk[];
  replicaPathOf(disk: ProtectedDisk): string;
  /** The command that copies bytes [start, end) of a disk again from the source, or null. */
  offerResync?(disk: string, start: number, end: number): string | null;
}

/** A thread in production. */
export interface ClosableChecker extends PieceChecker {
  close(): Promise<void>;
}

/**
 * Bounded in time by `forMs`, where the next such run goes on; part n of t looks at the n-th part of all
 * there is, so t runs look at everything. Small files and missing pieces are looked at each time. A run is at
 * most a quarter of a second, or one redo segment, longer than its bound.
 */
export async function verifyMachine(
  machine: Verifiable,
  request: VerifyRequest,
  progress: OnProgress,
  signal: AbortSignal,
  makeChecker: (signal: AbortSignal) => ClosableChecker = (stop) => new VerifyThread(stop),
): Promise<MachineVerification> {
  await machine.journal.commit();
  await machine.ledger.settle().catch(() => undefined); // what is not durable is told of as missing
  const before = inventoryOf(machine);
  const findings = [...checkBooks(machine), ...lostOf(machine), ...findMissing(before)];
  const foreign = findForeign(before);
  const place = request.forMs === null ? null : readPlace(machine.paths.derived, request.part);
  const checker = makeChecker(signal);
  const sweep = new Sweep(sweepHistory(machine), checker, { ...request, place });
  try {
    await sweep.run((done, total) => progress({ done, total, what: machine.name }));
  } finally {
    await checker.close();
  }
  if (request.forMs !== null) keepPlace(machine.paths.derived, request.part, sweep.place);
  // What was being made or removed at the first look is not strange any more, or not there any more.
  const still = new Set(findForeign(inventoryOf(machine)).map(({ file }) => file));
  findings.push(...foreign.filter(({ file }) => still.has(file)), ...sweep.findings);
  return report(machine, request, sweep, withoutTwins(findings));
}

function inventoryOf(machine: Verifiable): Inventory {
  const { paths, ledger, journal, history, cursor, file, lentDisks } = machine;
  const { steps, leftovers, holes } = history.undo;
  const here = { from: cursor.lsn, to: cursor.lsn };
  return {
    directory: paths.directory,
    found: listHistory(paths.directory),
    expected: ledger.expected(),
    redo: journal.segments.map(({ path, fd, firstLsn, lastLsn }) => ({
      ...{ path, fd, from: firstLsn, to: lastLsn },
    })),
    undo: [...steps, ...leftovers].map((step) => ({
      ...{ path: step.path, fd: history.undo.openFileOf(step), from: step.from, to: step.to },
    })),
    replicas: file.disks.flatMap((disk, at) => {
      const { fd = -1, sparse = false } = lentDisks[at] ?? {};
      return sparse && fd >= 0 ? [{ path: machine.replicaPathOf(disk), fd, ...here }] : [];
    }),
    holes,
  };
}

function sweepHistory(machine: Verifiable): SweepHistory {
  const { journal, history, ledger, paths, file } = machine;
  return {
    machine: journal.source.machine,
    directory: paths.directory,
    segments: () => journal.segments,
    steps: () => history.undo.steps,
    lend: (step) => history.undo.lend(step),
    expected: () => ledger.expected(),
    disks: () =>
      machine.lentDisks.map((disk, at) => {
        const known = file.disks[at];
        return { ...disk, path: known === undefined ? '' : machine.replicaPathOf(known) };
      }),
    cursor: () => machine.cursor,
    counter: () => history.counter,
  };
}

/** Records that were found lost when the journal was opened. */
function lostOf({ journal }: Verifiable): Finding[] {
  return journal.catalogue.lost.map(({ from, to, file }) => ({
    ...({ in: 'redo', file, disk: null, start: null, end: null, what: lostRecords } as const),
    ...{ from, to, fromTime: null, toTime: null },
  }));
}

/** The same place is told of once, in the words of who came first. */
function withoutTwins(findings: readonly Finding[]): Finding[] {
  const seen = new Set<string>();
  return findings.filter(({ file, from, to, disk, start, end }) => {
    const key = [file, from, to, disk, start, end].join(' ');
    return !seen.has(key) && seen.add(key);
  });
}

function report(
  machine: Verifiable,
  request: VerifyRequest,
  sweep: Sweep,
  findings: readonly Finding[],
): MachineVerification {
  const { journal, ledger, history, cursor, name, file } = machine;
  const boundaries = history.undo.steps.map(({ from }) => from);
  const facts = { cursorLsn: cursor.lsn, boundaries, pruned: cursor.pruned };
  const names = {
    machine: name,
    disks: file.disks,
    offer: (disk: string, start: number, end: number) => machine.offerResync?.(disk, start, end) ?? null,
  };
  const damaged = findings.map((finding) => describeFinding(finding, names, facts));
  for (const { file: path, fromLsn, toLsn, disk, start, end } of damaged)
    journal.noteDamage({ file: path, fromLsn, toLsn, disk, start, end });
  if (sweep.covered.complete && request.part === null) journal.catalogue.keepDamage(damaged);
  return {
    machine: name,
    ok: damaged.length === 0,
    resync: damaged.length > 0 && file.path === 'chain' ? resyncWords(name) : null,
    covered: { ...sweep.covered, ledger: { lines: ledger.head.n, cut: ledger.cut } },
    damaged,
  };
}
