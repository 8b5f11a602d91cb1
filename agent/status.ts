// What a machine looks like from outside: its status line and its points, as data.
import fs from 'node:fs';
import { formatSize } from '../core/units.ts';
import type { MachineStatus, PointsReport, TagReport } from './control/service.ts';
import type { DamagedPlace, Gap, Tag } from './journal/catalogue.ts';
import { Machine } from './machine.ts';
import type { BrokenMachine } from './machines.ts';
import { replicaPath } from './replica/replicas.ts';

export interface StatusInput {
  machine: Machine;
  replicas: string;
  /** Microseconds. */
  now: number;
  listen: string | null;
  /** Why apply does not go on, or null. */
  applyProblem: Error | null;
}

export function machineStatus({ machine, replicas, now, listen, applyProblem }: StatusInput): MachineStatus {
  const { journal, file, cursor } = machine;
  const trouble = journal.failure ?? applyProblem;
  return {
    id: file.id,
    name: file.name,
    disks: file.disks.map((disk) => ({
      name: disk.name,
      size: disk.size,
      replica: replicaPath(replicas, file.id, disk),
    })),
    ...stateOf(machine, listen, trouble),
    listen,
    rpoSeconds: rpoSeconds(machine, now),
    headLsn: journal.headLsn,
    durableLsn: journal.durableLsn,
    appliedLsn: cursor.lsn,
    oldestLsn: machine.oldestLsn,
    redoBytes: journal.redoBytes,
    undoBytes: 0,
    backlog: { source: 0, processServer: 0, target: unappliedBytes(machine) },
  };
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

export function pointsReport(machine: Machine): PointsReport {
  const { oldestLsn, journal } = machine;
  const moment = (lsn: number): { lsn: number; time: string | null } => ({
    lsn,
    time: Machine.spellTime(machine.timeOf(lsn)),
  });
  return {
    machine: machine.name,
    window: oldestLsn === null ? null : { from: moment(oldestLsn), to: moment(journal.durableLsn) },
    gaps: journal.catalogue.gaps.map(gapReport),
    tags: journal.catalogue.tags.map((tag) => tagReport(machine, tag)),
    kept: [],
  };
}

export function tagReport(machine: Machine, { lsn, time, name, consistency }: Tag): TagReport {
  return { machine: machine.name, lsn, time: Machine.spellTime(time) ?? '', name, consistency };
}

function gapReport({ from, to, reason, fromTime, toTime }: Gap): PointsReport['gaps'][number] {
  return { from, to, reason, fromTime: Machine.spellTime(fromTime) ?? '', toTime: Machine.spellTime(toTime) };
}

/** The gravest trouble names the state; `detail` tells all of them. */
function stateOf(
  machine: Machine,
  listen: string | null,
  trouble: Error | null,
): Pick<MachineStatus, 'state' | 'detail'> {
  const problems = [...failures(machine, trouble), ...damages(machine)];
  const [gravest] = problems;
  if (gravest !== undefined)
    return { state: gravest.state, detail: problems.map(({ detail }) => detail).join('; ') };
  if (machine.file.seeding) return { state: 'seeding', detail: 'the first copy is under way: no point yet' };
  return { state: listen === null ? 'idle' : 'ok', detail: null };
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

function damages({ journal }: Machine): Problem[] {
  const [lost] = journal.catalogue.lost;
  const [damaged] = journal.catalogue.damaged;
  const problems: Problem[] = [];
  if (lost !== undefined)
    problems.push({ state: 'damaged', detail: `records ${lost.from} to ${lost.to} are lost; see verify` });
  if (damaged !== undefined) {
    const detail = `${spellPlace(damaged)} does not fit its checksum`;
    const more = journal.catalogue.damaged.length - 1;
    problems.push({
      state: 'damaged',
      detail: `${detail}${more > 0 ? `, and ${more} more` : ''}; see verify`,
    });
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
  return `the retention volume is full (${free}): writers get "no space" until there is room again`;
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
