// Reads everything that a machine keeps and compares it with its checksums and its ledger: what is covered,
// what is damaged, what is missing.
import { limits } from '../../core/limits.ts';
import type { Segment } from '../../core/segment-log/segment.ts';
import type { DiskRange, OnProgress, VerifyRequest } from '../control/service.ts';
import type { Journal } from '../journal/journal.ts';
import type { LedgerBreak } from '../journal/ledger-breaks.ts';
import type { Ledger } from '../journal/ledger.ts';
import type { Healed, RedoHeal } from '../journal/redo-heal.ts';
import type { Cursor } from '../replica/cursor.ts';
import type { MachineFile, ProtectedDisk } from '../replica/machine-file.ts';
import type { UndoLog } from '../replica/undo/undo-log.ts';
import type { LentDisk } from '../replica/undo/undo-step.ts';
import { checkBooks, type Books } from './verify-books.ts';
import type { Finding } from './verify-finding.ts';
import { findForeign, findMissing, listHistory, sealOf, type Inventory } from './verify-inventory.ts';
import {
  extentsOf,
  extentsToResync,
  resyncCommand,
  unknownExtents,
  type OfferFacts,
} from './verify-offer.ts';
import { lostRecords } from './verify-redo.ts';
import { describeFinding, type DamageNames, type MachineVerification } from './verify-report.ts';
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
  readonly ledgerBreaks: readonly LedgerBreak[];
  readonly history: {
    readonly undo: Pick<UndoLog, 'steps' | 'holes' | 'leftovers' | 'lend' | 'openFileOf'>;
    /** Odd while a step is open. */
    readonly counter: number;
  };
  readonly lentDisks: LentDisk[];
  replicaPathOf(disk: ProtectedDisk): string;
  /** Has damaged redo of a machine that is pulled from its process server again. */
  readonly heal?: Pick<RedoHeal, 'heal'>;
  /** Makes checksums that are missing. */
  readonly sums?: { wake(): void };
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
  let healed: Healed[] = [];
  const place = request.forMs === null ? null : readPlace(machine.paths.derived, request.part);
  const checker = makeChecker(signal);
  const sweep = new Sweep(sweepHistory(machine), checker, { ...request, place });
  try {
    await sweep.run((done, total) => progress({ done, total, what: machine.name }));
    if (sweep.covered.replica.uncheckedBytes > 0) machine.sums?.wake();
    findings.push(...sweep.findings);
    healed = await healFound(machine, findings, checker);
  } finally {
    await checker.close();
  }
  if (request.forMs !== null) keepPlace(machine.paths.derived, request.part, sweep.place);
  // What was being made or removed at the first look is not strange any more, or not there any more.
  const still = new Set(findForeign(inventoryOf(machine)).map(({ file }) => file));
  findings.push(...foreign.filter(({ file }) => still.has(file)));
  return report(machine, request, sweep, { findings: withoutTwins(findings), healed });
}

/** What was found in segments that are better now is replaced by what is found in them now. */
async function healFound(machine: Verifiable, findings: Finding[], checker: PieceChecker): Promise<Healed[]> {
  const files = findings.filter((one) => one.in === 'redo').map(({ file }) => file);
  const healed = (await machine.heal?.heal(files)) ?? [];
  for (const { file } of healed) {
    const others = findings.filter((one) => one.in !== 'redo' || one.file !== file);
    const segment = machine.journal.segments.find(({ path }) => path === file);
    const again = segment === undefined ? [] : await lookAgain(machine, segment, checker);
    findings.splice(0, findings.length, ...others, ...again);
  }
  return healed;
}

async function lookAgain(machine: Verifiable, segment: Segment, checker: PieceChecker): Promise<Finding[]> {
  const { ordinal, fd, path, firstLsn, precededBy, lastLsn, end } = segment;
  const lent = { ordinal, fd, path, firstLsn, precededBy, lastLsn, end };
  const known = machine.ledger.expected().redo.get(path.slice(machine.paths.directory.length + 1));
  segment.users += 1;
  try {
    const job = { machine: machine.journal.source.machine, segment: lent, sealed: sealOf(known) };
    return (await checker.check({ kind: 'redo', ...job }, limits.verifyTurnMs)).findings;
  } finally {
    segment.users -= 1;
  }
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

/** What was found, and what of it is sound again. */
interface Found {
  findings: readonly Finding[];
  healed: readonly Healed[];
}

function report(
  machine: Verifiable,
  request: VerifyRequest,
  sweep: Sweep,
  { findings, healed }: Found,
): MachineVerification {
  const { journal, ledger, history, cursor, name, file } = machine;
  const boundaries = history.undo.steps.map(({ from }) => from);
  const facts = { cursorLsn: cursor.lsn, boundaries, pruned: cursor.pruned };
  const offers = offerFacts(machine);
  const command = (extents: readonly DiskRange[]): string | null =>
    isPulled(file) ? resyncCommand(name, extents) : null;
  const offer: DamageNames['offer'] = (place) => command(extentsOf(place, offers));
  const damaged = findings.map((finding) =>
    describeFinding(finding, { machine: name, disks: file.disks, offer }, facts),
  );
  for (const { file: path, fromLsn, toLsn, disk, start, end } of damaged)
    journal.noteDamage({ file: path, fromLsn, toLsn, disk, start, end });
  if (sweep.covered.complete && request.part === null) journal.catalogue.keepDamage(damaged);
  const lacking = extentsToResync(damaged, offers);
  const unknown = unknownExtents(offers);
  const isWhole = damaged.length === 0 && unknown.length === 0;
  return {
    machine: name,
    ok: damaged.length === 0,
    offer: command(lacking),
    resync: isWhole ? null : resyncWords(lacking, command(lacking)),
    covered: { ...sweep.covered, ledger: { lines: ledger.head.n, cut: ledger.cut } },
    damaged,
    healed: healed.flatMap(({ file: path, records, isPutBack }) =>
      records.map(([fromLsn, toLsn]) => ({
        ...{ file: path, fromLsn, toLsn },
        ...(isPutBack && { putBack: true as const }),
      })),
    ),
    unknown,
  };
}

const isPulled = ({ path, handOver }: MachineFile): boolean => path === 'chain' && handOver === undefined;

const offerFacts = ({ name, file, cursor }: Pick<Verifiable, 'name' | 'file' | 'cursor'>): OfferFacts => ({
  machine: name,
  disks: file.disks,
  cursorLsn: cursor.lsn,
  unknown: cursor.unknown,
});

/** What the source could send again, by what is known without looking. */
export const lackingExtents = (
  machine: Pick<Verifiable, 'name' | 'file' | 'cursor'> & {
    readonly journal: { readonly catalogue: Pick<Journal['catalogue'], 'damaged' | 'lost'> };
  },
): DiskRange[] => {
  const { damaged, lost } = machine.journal.catalogue;
  const nowhere = { disk: null, start: null, end: null };
  const places = lost.map(({ file, from, to }) => ({ file, fromLsn: from, toLsn: to, ...nowhere }));
  return extentsToResync([...damaged, ...places], offerFacts(machine));
};
