// The master target's service: what the control socket offers, carried out on machines, ingests, views and
// recoveries.
import type { Config } from '../core/config.ts';
import type { Clock } from '../core/clock.ts';
import { HomewardError } from '../core/errors.ts';
import { limits } from '../core/limits.ts';
import type { Log } from '../core/log.ts';
import type { TargetReport } from '../core/registration/messages.ts';
import { checkTagName, formatListen, parseListen } from '../core/names.ts';
import type {
  DamageReport,
  HandOverPlan,
  HandOverReport,
  HandOverRequest,
  IngestReport,
  LockReport,
  LockRequest,
  MasterTargetService,
  OnProgress,
  OpenedView,
  OpenIngestRequest,
  PointsReport,
  RecoverPlan,
  RecoverReport,
  RecoverRequest,
  RetentionChange,
  RetentionReport,
  SeedCheck,
  SeededReport,
  SeedToCheck,
  StatusReport,
  TagReport,
  UnpinReport,
  VerifyReport,
  VerifyRequest,
  ViewReport,
  ViewRequest,
} from './control/service.ts';
import { releasedStatus } from './hand-over-status.ts';
import type { HandOvers } from './hand-overs.ts';
import { checkSeed } from './ingest/pull/seed.ts';
import { ingestExport } from './ingest/ingest-export.ts';
import type { Ingests } from './ingest/ingests.ts';
import { tlsFor } from './listen-policy.ts';
import { machinePaths } from './machine-paths.ts';
import { Machine } from './machine.ts';
import { openView } from './open-view.ts';
import { refuseChain, type BrokenMachine, type Machines } from './machines.ts';
import { disksAt } from './replica/machine-file.ts';
import { heldMarks } from './replica/signal/marks.ts';
import { refuseUnderWay } from './recovery/hand-over.ts';
import { recoverInPlace, refuseUnreachable, unpin } from './recovery/in-place.ts';
import { countData, recoverMachine } from './recovery/recover-machine.ts';
import { planRecovery } from './recovery/plan.ts';
import { lackingExtents, verifyMachine } from './recovery/verify.ts';
import type { Views } from './recovery/views.ts';
import { settleWhen } from './recovery/when.ts';
import type { AssignedMachines } from './assigned-machines.ts';
import type { TargetLink } from './registration/target-link.ts';
import type { Janitor } from './retention/janitor.ts';
import type { Outlook } from './retention/outlook.ts';
import { machinePolicy } from './retention/machine-policy.ts';
import { activeLocks } from './retention/locks.ts';
import { keptReportsOf, lockReports, rateReports } from './retention/points-report.ts';
import {
  lockMachinePoint,
  retention,
  unlockMachinePoint,
  type RetentionParts,
} from './retention/retention-service.ts';
import {
  acceptedReports,
  brokenStatus,
  freeBytes,
  linkStatus,
  machineStatus,
  pointsReport,
  refusedStatus,
  tagReport,
} from './status.ts';

export interface MasterTargetParts {
  version: string;
  data: string;
  retention: string;
  replicas: string;
  config: Config;
  clock: Clock;
  log: Log;
  machines: Machines;
  ingests: Ingests;
  views: Views;
  janitor: Janitor<Machine>;
  outlook: Pick<Outlook, 'report'>;
  assigned: AssignedMachines;
  handOvers: HandOvers;
  /** Null for one that runs alone. */
  link: TargetLink | null;
}

export class MasterTarget implements MasterTargetService {
  readonly #parts: MasterTargetParts;
  #opening: Promise<unknown> = Promise.resolve();

  constructor(parts: MasterTargetParts) {
    this.#parts = parts;
  }

  /** One at a time: a machine that one call takes back must not be served by another. */
  openIngest(request: OpenIngestRequest): Promise<IngestReport> {
    const opened = this.#opening.then(() => this.#openIngest(request));
    this.#opening = opened.catch(() => undefined);
    return opened;
  }

  async #openIngest(request: OpenIngestRequest): Promise<IngestReport> {
    const { machines } = this.#parts;
    const listen = parseListen(request.listen);
    tlsFor(listen, this.#parts.config.nbdTlsDirectory); // refused before anything is made
    const { machine, made } = await machines.ensure(request.machine, request.disks, request.seeding);
    const open = this.#parts.ingests.listenOf(machine.id) === formatListen(listen);
    // The call that its first copy began with changes nothing; any other would mean another copy.
    const isRepeated = open && machine.wasSeeded;
    if (!made && request.seeding && !machine.file.seeding && !isRepeated) {
      throw new HomewardError(
        'conflict',
        `${machine.name} has points already: it cannot be seeded again in this version`,
        { hint: 'Leave --seeding out to take writes for it as it is.' },
      );
    }
    const opened = await this.reopenIngest(machine, request.listen).catch(async (error: unknown) => {
      if (made) await machines.takeBack(machine); // so that the same name can be had with other disks
      throw error;
    });
    return {
      machine: machine.name,
      id: machine.id,
      listen: request.listen,
      seeding: machine.file.seeding,
      exports: machine.file.disks.map(({ name }) => name),
      changed: made || opened,
    };
  }

  /** Serves the disks of a machine that is there. */
  async reopenIngest(machine: Machine, address: string): Promise<boolean> {
    if (machine.file.handOver?.stage === 'begun') refuseUnderWay(machine.file);
    const { ingests, config, log } = this.#parts;
    const listen = parseListen(address);
    const exports = machine.file.disks.map(({ name, size }, disk) =>
      ingestExport({
        disk,
        name,
        size,
        description: `${name} of ${machine.name}`,
        journal: machine.journal,
        reader: machine.reader,
        log,
      }),
    );
    return ingests.open(machine.id, listen, exports, tlsFor(listen, config.nbdTlsDirectory));
  }

  checkSeeds(seeds: SeedToCheck[]): Promise<SeedCheck[]> {
    const signal = AbortSignal.timeout(limits.serverAnswerMs);
    return Promise.all(seeds.map(({ size, ...seed }) => checkSeed(seed, size, signal)));
  }

  async seeded(key: string): Promise<SeededReport> {
    const machine = this.#parts.machines.get(key);
    refuseChain(machine);
    const { lsn, time } = await machine.seeded();
    this.#parts.janitor.wake();
    return { machine: machine.name, lsn, time: Machine.spellTime(time) ?? '' };
  }

  /** Machines that an ingest is to be open for, and that are not there. */
  #missing(): BrokenMachine[] {
    const { machines, ingests } = this.#parts;
    return machines.missing(ingests.entries.map(({ machine }) => machine));
  }

  async closeIngest(key: string): Promise<{ machine: string; changed: boolean }> {
    if (this.#missing().some(({ id }) => id === key))
      return { machine: key, changed: await this.#parts.ingests.close(key) };
    const machine = this.#parts.machines.get(key);
    refuseChain(machine);
    const changed = await this.#parts.ingests.close(machine.id);
    await machine.journal.commit();
    return { machine: machine.name, changed };
  }

  async tag(key: string, name: string): Promise<TagReport> {
    const machine = this.#parts.machines.get(key);
    checkTagName(name);
    refuseChain(machine, 'Tags are made at the source: ask the configuration server, with --operator FILE.');
    refuseUnderWay(machine.file);
    if (machine.journal.catalogue.findTag(name) !== null) {
      throw new HomewardError('tag-exists', `${machine.name} has a tag "${name}"`);
    }
    if (machine.file.seeding)
      throw new HomewardError('no-points', `${machine.name} is being seeded: a tag would be no point`);
    const note = { name, consistency: 'crash' as const };
    return tagReport(machine, { ...(await machine.journal.tag(note)), ...note });
  }

  async status(): Promise<StatusReport> {
    const { data, link, version } = this.#parts;
    const accepted = acceptedReports(data);
    const { retention, machines } = this.#report();
    return {
      version,
      retention,
      machines,
      ...(link === null ? {} : { configServer: linkStatus(link.report) }),
      ...(accepted.length === 0 ? {} : { accepted }),
    };
  }

  /** What the configuration server is told. */
  async targetReport(): Promise<TargetReport> {
    return this.#report();
  }

  #report(): TargetReport {
    const { machines, ingests, janitor, retention, replicas, clock, assigned, handOvers } = this.#parts;
    const now = clock.now();
    const { report: forecast } = this.#parts.outlook;
    const reports = machines.list().map((machine) =>
      machineStatus({
        machine,
        replicas,
        now,
        listen: ingests.listenOf(machine.id),
        applyProblem: janitor.problemOf(machine.id),
        pull: assigned.reportOf(machine.id),
        assignment: assigned.assignmentOf(machine.id),
        handOverProblem: handOvers.problemOf(machine.id),
        refusal: assigned.refused.find(({ id }) => id === machine.id)?.error ?? null,
      }),
    );
    const released = machines.released.map((file) => releasedStatus(file, replicas));
    const known = new Set([...reports, ...released].map(({ id }) => id));
    const refused = assigned.refused.filter(({ id }) => !known.has(id));
    const broken = [...machines.broken, ...this.#missing()];
    const notMade = refused.filter(({ id }) => !broken.some((other) => other.id === id)).map(refusedStatus);
    return {
      retention: {
        path: retention,
        freeBytes: freeBytes(retention),
        ...(forecast === null ? {} : { forecast }),
      },
      machines: [...reports, ...released, ...broken.map(brokenStatus), ...notMade],
    };
  }

  async points(key: string, { rates } = { rates: false }): Promise<PointsReport> {
    const { machines, assigned, config, clock } = this.#parts;
    const machine = machines.get(key);
    const { file, history } = machine;
    const now = clock.now();
    const { keep, windowMs } = machinePolicy(file, config);
    const policy = {
      rules: keep,
      locks: [...activeLocks(file.locks ?? [], now), ...heldMarks(file.marks, { keep, windowMs }, now)],
      windowMs,
      now,
    };
    return {
      ...pointsReport(machine, assigned.reportOf(machine.id)?.head?.scan ?? null),
      kept: keptReportsOf(history.kept, policy),
      locks: lockReports(file.locks),
      ...(rates ? { rate: rateReports(machine.rates, machine.signal.minutes.list()) } : {}),
    };
  }

  async retention(key: string, change: RetentionChange | null): Promise<RetentionReport> {
    const report = retention(this.#parts.machines.get(key), change, this.#retentionParts);
    if (report.changed) this.#parts.janitor.wake();
    return report;
  }

  async lockPoint({ machine, ...request }: LockRequest): Promise<LockReport> {
    const { now } = this.#retentionParts;
    const settled = { ...request, at: settleWhen(request.at, now).at };
    return lockMachinePoint(this.#parts.machines.get(machine), settled, this.#retentionParts);
  }

  async unlockPoint(machine: string, at: string): Promise<LockReport> {
    const settled = settleWhen(at, this.#retentionParts.now).at;
    return unlockMachinePoint(this.#parts.machines.get(machine), settled, this.#retentionParts);
  }

  get #retentionParts(): RetentionParts {
    const { config, log, clock } = this.#parts;
    return { defaults: config, log, now: clock.now() };
  }

  openView(request: ViewRequest): Promise<OpenedView> {
    return openView(request, this.#parts);
  }

  async listViews(): Promise<ViewReport[]> {
    return this.#parts.views.list();
  }

  async renewView(id: string, leaseMs: number): Promise<ViewReport> {
    return this.#parts.views.renew(id, leaseMs);
  }

  async closeViews(which: { id: string } | { machine: string; at: string | null }): Promise<ViewReport[]> {
    const { machines, views } = this.#parts;
    if ('id' in which) return [await views.close(which.id)];
    const machine = machines.get(which.machine);
    const lsn = which.at === null ? null : (await machine.resolve(which.at)).lsn;
    const found = views.ofMachine(machine.id, lsn);
    if (found.length === 0 && lsn !== null)
      throw new HomewardError('no-such-view', `no view of ${machine.name} is at lsn:${lsn}`);
    return Promise.all(found.map(({ id }) => views.close(id)));
  }

  async planRecovery(request: RecoverRequest): Promise<RecoverPlan> {
    const machine = this.#parts.machines.get(request.machine);
    const plan = await this.#plan(machine, request);
    const unhurried = new AbortController().signal;
    return request.count ? countData(machine, plan, unhurried) : plan;
  }

  async recover(request: RecoverRequest, progress: OnProgress, signal: AbortSignal): Promise<RecoverReport> {
    const { machines, clock, log, janitor } = this.#parts;
    const machine = machines.get(request.machine);
    const plan = await this.#plan(machine, request);
    if (request.target.kind === 'in-place') {
      refuseUnderWay(machine.file);
      return recoverInPlace({ machine, plan, keeper: janitor, clock, log, progress, signal });
    }
    const notes = machinePaths(this.#parts.retention, machine.id).recoveries;
    return recoverMachine({ machine, plan, request, notes, clock, log, progress, signal });
  }

  /** The replica that a recovery in place holds follows again. */
  async unpin(key: string): Promise<UnpinReport> {
    const machine = this.#parts.machines.get(key);
    refuseUnderWay(machine.file);
    const changed = unpin(machine);
    if (changed) this.#parts.janitor.wake();
    return { machine: machine.name, changed };
  }

  async verify(request: VerifyRequest, progress: OnProgress, signal: AbortSignal): Promise<VerifyReport> {
    const machine = this.#parts.machines.get(request.machine);
    return this.#parts.handOvers.during(machine, 'verify', () =>
      verifyMachine(machine, request, progress, signal),
    );
  }

  async damage(key: string): Promise<DamageReport> {
    const machine = this.#parts.machines.get(key);
    return { machine: machine.name, extents: lackingExtents(machine) };
  }

  planHandOver(request: HandOverRequest): Promise<HandOverPlan> {
    return this.#parts.handOvers.plan(request);
  }

  handOver(request: HandOverRequest, progress: OnProgress, signal: AbortSignal): Promise<HandOverReport> {
    return this.#parts.handOvers.handOver(request, progress, signal);
  }

  async #plan(machine: Machine, request: RecoverRequest): Promise<RecoverPlan> {
    const { at, asked } = settleWhen(request.at, this.#parts.clock.now());
    const { lsn, time: stamp } = await machine.resolve(at);
    const time = Machine.spellTime(stamp);
    const disks = disksAt(machine.file, lsn);
    if (request.target.kind === 'in-place') {
      refuseUnreachable(machine, lsn, disks);
      return { machine: machine.name, lsn, time, asked, disks: inPlaceDisks(machine) };
    }
    return planRecovery({
      machine: { id: machine.id, name: machine.name, disks },
      lsn,
      time,
      asked,
      request,
      notes: machinePaths(this.#parts.retention, machine.id).recoveries,
    });
  }
}

const inPlaceDisks = (machine: Machine): RecoverPlan['disks'] =>
  machine.file.disks.map((disk) => ({
    name: disk.name,
    size: disk.size,
    to: machine.replicaPathOf(disk),
    format: 'in-place',
    found: null,
  }));
