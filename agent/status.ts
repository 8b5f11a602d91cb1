// What a machine looks like from outside: its status line and its points, as data.
import fs from 'node:fs';
import type { ScanReport } from '../core/chain/messages.ts';
import type { HomewardError } from '../core/errors.ts';
import type { Assignment } from '../core/identity/assignment.ts';
import { formatSize } from '../core/units.ts';
import { chainRpoSeconds, chainState, isHeard } from './chain-status.ts';
import type { MachineStatus, PointsReport, StatusReport, TagReport } from './control/service.ts';
import { handOverDetail } from './hand-over-status.ts';
import { readAccepted } from './prerequisites/accepted-checks.ts';
import type { PullReport } from './ingest/pull/pulled-machine.ts';
import type { LinkReport } from './registration/target-link.ts';
import type { DamagedPlace, Gap, Tag } from './journal/catalogue.ts';
import { Machine } from './machine.ts';
import type { BrokenMachine } from './machines.ts';
import { replicaPath } from './replica/replicas.ts';
import { signalDetail } from './replica/signal/report.ts';
import { markReports } from './retention/points-report.ts';

export interface StatusInput {
  machine: Machine;
  replicas: string;
  /** Microseconds. */
  now: number;
  listen: string | null;
  /** Why apply does not go on, or null. */
  applyProblem: Error | null;
  /** Of a machine that comes over the chain. */
  pull: PullReport | null;
  assignment: Assignment | null;
  /** Why its assignment is not followed, or null. */
  refusal: HomewardError | null;
  /** Why a hand-over that was begun has not ended, or null. */
  handOverProblem: HomewardError | null;
}

export function machineStatus(input: StatusInput): MachineStatus {
  const { machine, replicas, listen, pull } = input;
  const { journal, file, cursor } = machine;
  const isChain = file.path === 'chain';
  const head = pull?.head ?? null;
  return {
    id: file.id,
    name: file.name,
    disks: file.disks.map((disk) => ({
      name: disk.name,
      size: disk.size,
      replica: replicaPath(replicas, file.id, disk),
    })),
    ...withSignal(stateOf(input), signalDetail(machine.signal.report(machine), input.now)),
    listen,
    rpoSeconds: isChain ? chainRpo(input) : rpoSeconds(machine, input.now),
    headLsn: Math.max(journal.headLsn, head?.lsn ?? 0),
    durableLsn: journal.durableLsn,
    appliedLsn: cursor.lsn,
    oldestLsn: machine.oldestLsn,
    redoBytes: journal.redoBytes,
    undoBytes: machine.history.undo.bytes,
    backlog: {
      source: head?.backlogBytes ?? 0,
      processServer: head?.processServerBytes ?? 0,
      target: unappliedBytes(machine),
    },
    path: isChain ? 'chain' : 'ingest',
    ...(machine.ledger.head.n === 0 ? {} : { ledger: machine.ledger.head }),
    ...(head === null
      ? {}
      : {
          source: {
            state: head.state,
            sync: head.sync,
            connected: isHeard(pull),
            dirtyBytes: head.dirtyBytes,
            ...(head.scan === undefined ? {} : { scan: head.scan }),
          },
        }),
  };
}

/** An assignment that could not be followed: there is no machine of it. */
export function refusedStatus(refused: BrokenMachine): MachineStatus {
  return { ...brokenStatus(refused), path: 'chain' };
}

export function linkStatus(link: LinkReport): NonNullable<StatusReport['configServer']> {
  const { configServer: address, hostId, contactSeconds, problem } = link;
  return {
    address,
    hostId,
    contactSeconds,
    problem: problem === null ? null : `${problem.message} (${problem.code})`,
  };
}

/** Findings of this host's checks that somebody answers for; a damaged file is for `check` to name. */
export function acceptedReports(data: string): NonNullable<StatusReport['accepted']> {
  try {
    return readAccepted(data);
  } catch {
    return [];
  }
}

/** A machine that could not be opened: known by name, and why it is not served. */
export function brokenStatus({ id, name, error }: BrokenMachine): MachineStatus {
  return {
    id,
    name,
    disks: [],
    state: 'failed',
    detail: `${error.message} (${error.code})`,
    listen: null,
    rpoSeconds: null,
    headLsn: 0,
    durableLsn: 0,
    appliedLsn: 0,
    oldestLsn: null,
    redoBytes: 0,
    undoBytes: 0,
    backlog: { source: 0, processServer: 0, target: 0 },
  };
}

/** `scan`: what its source says of scans, if that is known. */
export function pointsReport(machine: Machine, scan: ScanReport | null = null): PointsReport {
  const { journal, history } = machine;
  const oldestLsn = history.denseLsn;
  const moment = (lsn: number): { lsn: number; time: string | null } => ({
    lsn,
    time: Machine.spellTime(machine.timeOf(lsn)),
  });
  return {
    machine: machine.name,
    window: oldestLsn === null ? null : { from: moment(oldestLsn), to: moment(journal.durableLsn) },
    // What lies before the first point is no gap between points.
    gaps: journal.catalogue.gaps.filter(({ to }) => to === null || to > (oldestLsn ?? 0)).map(gapReport),
    tags: journal.catalogue.tags.map((tag) => tagReport(machine, tag)),
    kept: [],
    marks: markReports(machine.file.marks),
    signal: machine.signal.report(machine),
    ...(scan === null
      ? {}
      : { scan: { only: scan.only === true, lastTime: Machine.spellTime(scan.lastTime) } }),
  };
}

export function tagReport(machine: Machine, { lsn, time, name, consistency }: Tag): TagReport {
  return { machine: machine.name, lsn, time: Machine.spellTime(time) ?? '', name, consistency };
}

function gapReport({ from, to, reason, fromTime, toTime }: Gap): PointsReport['gaps'][number] {
  return { from, to, reason, fromTime: Machine.spellTime(fromTime) ?? '', toTime: Machine.spellTime(toTime) };
}

/** A replica that is held, or writers that wait, are no trouble, but nobody should forget it. */
function stateOf(input: StatusInput): Pick<MachineStatus, 'state' | 'detail'> {
  const { state, detail } = troubleOf(input);
  const { cursor, journal, name } = input.machine;
  const pinned =
    cursor.pin === null
      ? null
      : `the replica is pinned at lsn:${cursor.pin} until \`homeward unpin ${name}\``;
  const held = journal.heldBack === null ? null : `writers wait: ${journal.heldBack}`;
  const handedOver = handOverDetail(input.machine.file, input.assignment);
  const said = [detail, handedOver ?? pinned, held].filter((text) => text !== null);
  return { state, detail: said.length === 0 ? null : said.join('; ') };
}

/** An encryption that is suspected is told of, whatever the state is: writes are taken all the same. */
function withSignal(
  { state, detail }: Pick<MachineStatus, 'state' | 'detail'>,
  signal: string | null,
): Pick<MachineStatus, 'state' | 'detail'> {
  return { state, detail: signal === null || detail === null ? (signal ?? detail) : `${signal}; ${detail}` };
}

/** The gravest trouble names the state; `detail` tells all of them. */
function troubleOf(input: StatusInput): Pick<MachineStatus, 'state' | 'detail'> {
  const { machine, listen, pull, assignment, refusal, handOverProblem } = input;
  const problems = [
    ...failures(machine, machine.journal.failure ?? input.applyProblem),
    ...(handOverProblem === null ? [] : [{ state: 'failed', detail: handOverProblem.message } as const]),
    // Of one that was handed over that is as it should be.
    ...(refusal === null || refusal.code === 'fenced'
      ? []
      : [{ state: 'failed', detail: `${refusal.message} (${refusal.code})` } as const]),
    ...damages(machine),
  ];
  const [gravest] = problems;
  if (gravest !== undefined)
    return { state: gravest.state, detail: problems.map(({ detail }) => detail).join('; ') };
  if (machine.file.path === 'chain') {
    const { openGap } = machine.journal.catalogue;
    return chainState({ pull, assignment, hasPoints: !machine.file.seeding, openGap });
  }
  if (machine.file.seeding) return { state: 'seeding', detail: 'the first copy is under way: no point yet' };
  return { state: listen === null ? 'idle' : 'ok', detail: null };
}

function chainRpo({ machine, now, pull }: StatusInput): number | null {
  if (machine.oldestLsn === null) return null;
  const { durableLsn, catalogue } = machine.journal;
  const { openGap } = catalogue;
  const newest = openGap === null ? durableLsn : Math.min(durableLsn, openGap.from - 1);
  const reachedTime = pull?.reachedTime ?? null;
  return chainRpoSeconds({ now, reachedTime, newestPointTime: reachedTime ?? timeNear(machine, newest) });
}

/** Without reading records: where LSNs were skipped, and time with them, a segment ends. */
function timeNear({ journal, cursor }: Machine, lsn: number): number {
  if (lsn === cursor.lsn) return cursor.time;
  const segment = journal.segments.find(({ lastLsn }) => lastLsn === lsn);
  return segment?.lastTime ?? journal.catalogue.openGap?.fromTime ?? journal.lastTime;
}

interface Problem {
  state: MachineStatus['state'];
  detail: string;
}

function failures(machine: Machine, trouble: Error | null): Problem[] {
  const { appendFailure } = machine.journal;
  const problems: Problem[] = trouble === null ? [] : [{ state: 'failed', detail: trouble.message }];
  if (appendFailure?.code === 'no-space')
    problems.push({ state: 'no-space', detail: noSpaceDetail(machine) });
  else if (appendFailure !== null)
    problems.push({ state: 'failed', detail: `writers are refused: ${appendFailure.message}` });
  return problems;
}

function damages({ journal, ledgerBreaks, history }: Machine): Problem[] {
  const [lost] = journal.catalogue.lost;
  const [unknown] = journal.catalogue.unknown;
  const [damaged] = journal.catalogue.damaged;
  const problems: Problem[] = [];
  if (lost !== undefined)
    problems.push({ state: 'damaged', detail: `records ${lost.from} to ${lost.to} are lost; see verify` });
  if (unknown !== undefined) {
    const detail = `record ${unknown} came as lost: what it wrote is unknown until the source has synced it`;
    problems.push({ state: 'damaged', detail });
  }
  if (damaged !== undefined) {
    const detail = `${spellPlace(damaged)} does not fit its checksum`;
    const more = journal.catalogue.damaged.length - 1;
    problems.push({
      state: 'damaged',
      detail: `${detail}${more > 0 ? `, and ${more} more` : ''}; see verify`,
    });
  }
  const [hole] = history.undo.holes;
  if (hole !== undefined) {
    const detail = `undo of lsn:${hole.from} to lsn:${hole.to} is lost (${hole.why}); see verify`;
    problems.push({ state: 'damaged', detail });
  }
  const [account] = ledgerBreaks;
  if (account !== undefined) {
    const detail = `the account of its history was damaged or gone from line ${account.line} on; see verify`;
    problems.push({ state: 'damaged', detail });
  }
  return problems;
}

function spellPlace({ file, fromLsn, toLsn, disk, start, end }: DamagedPlace): string {
  const records = fromLsn === toLsn ? `record ${fromLsn}` : `the content of records ${fromLsn} to ${toLsn}`;
  const extent = disk === null ? '' : ` (bytes ${start} to ${end} of ${disk})`;
  return `${records}${extent} in ${file}`;
}

function noSpaceDetail({ paths, reserveBytes }: Machine): string {
  const reserve =
    reserveBytes === 0 ? '' : `, of which ${formatSize(reserveBytes)} are reserved for housekeeping`;
  const free = `${formatSize(freeBytes(paths.directory))} free${reserve}`;
  const { files, ffree } = fs.statfsSync(paths.directory);
  // Where files are not counted, as on btrfs, both are 0.
  const names = files > 0 && ffree === 0 ? ', and no inode' : '';
  return `the retention volume is full (${free}${names}): writers get "no space" until there is room again`;
}

/** Age of the newest point: nothing is outstanding when all that arrived is durable. */
function rpoSeconds(machine: Machine, now: number): number | null {
  const { journal } = machine;
  if (machine.oldestLsn === null) return null;
  if (journal.durableLsn === journal.headLsn) return 0;
  return Math.max(0, (now - journal.lastTime) / 1e6);
}

function unappliedBytes({ journal, cursor }: Machine): number {
  const unapplied = journal.segments.filter((segment) => segment.lastLsn > cursor.lsn);
  return unapplied.reduce((sum, segment) => sum + segment.end, 0);
}

export function freeBytes(path: string): number {
  const { bavail, bsize } = fs.statfsSync(path);
  return bavail * bsize;
}
