// All machines and hosts at this moment, from what everybody said last.
import type { StatusReport } from '../../agent/control/client.ts';
import type { MachineStatus } from '../../core/registration/machine-status.ts';
import type { SourceReport, SpoolReport } from '../../core/registration/messages.ts';
import type { Health } from '../hosts/health.ts';
import { listHosts } from '../hosts/roster.ts';
import type { Registry } from '../registry.ts';
import type { KnownMachine } from './machine-list.ts';
import { agedStatus, mergeStatus, type Aged } from './status.ts';

export interface FleetReport extends StatusReport {
  /** The retention volume of each master target; `retention` is the first of them. */
  retentions: (StatusReport['retention'] & { host: string; name: string })[];
  /** How many hosts are in each state of health. */
  hosts: Record<Health, number>;
}

export function fleetReport(registry: Registry): FleetReport {
  const retentions = registry.hosts
    .list()
    .filter(({ role }) => role === 'master-target')
    .flatMap(({ id, name }) => {
      const retention = registry.presence.get(id)?.heartbeat.target?.retention;
      return retention === undefined ? [] : [{ host: id, name, ...retention }];
    });
  const [first] = retentions;
  const hosts: Record<Health, number> = { ok: 0, warning: 0, critical: 0, waiting: 0 };
  for (const { health } of listHosts(registry)) hosts[health] += 1;
  return {
    version: registry.version,
    retention: { path: first?.path ?? '', freeBytes: first?.freeBytes ?? 0 },
    machines: machineStatuses(registry),
    retentions,
    hosts,
  };
}

/** Those that mobility services have, then those that only master targets know. */
export function machineStatuses(registry: Registry): MachineStatus[] {
  const known = registry.machines.list();
  const ids = new Set(known.map(({ id }) => id));
  const others = registry.hosts
    .list()
    .filter(({ role }) => role === 'master-target')
    .flatMap(({ id: host }) => targetReports(registry, host).map((aged) => ({ ...aged, host })))
    .filter(({ report }) => !ids.has(report.id));
  return [
    ...known.map((machine) => statusOf(registry, machine)),
    ...others.map((aged) => warned(registry, aged.host, agedStatus(aged))),
  ];
}

function statusOf(registry: Registry, machine: KnownMachine): MachineStatus {
  const assignment = registry.assignments.get(machine.id);
  const { hosts, presence } = registry;
  const targetHost = assignment?.masterTarget ?? null;
  const reports = targetHost === null ? [] : targetReports(registry, targetHost);
  const merged = mergeStatus({
    machine,
    assignment,
    target: reports.find(({ report }) => report.id === machine.id) ?? null,
    source: sourceReport(registry, machine),
    spool: assignment === null ? null : spoolReport(registry, assignment.processServer.hostId, machine.id),
    targetSilentMs: targetHost === null ? null : presence.silentMs(targetHost),
    masterTargetName: targetHost === null ? null : (hosts.seen(targetHost)?.name ?? null),
  });
  return targetHost === null ? merged : warned(registry, targetHost, merged);
}

/** With what is remembered of its ledger, if that went back. */
function warned({ ledgers }: Registry, host: string, status: MachineStatus): MachineStatus {
  const warning = ledgers.warning(host, status.id);
  if (warning === null) return status;
  return { ...status, detail: status.detail === null ? warning : `${status.detail}; ${warning}` };
}

function targetReports({ presence }: Registry, host: string): Aged<MachineStatus>[] {
  const machines = presence.get(host)?.heartbeat.target?.machines ?? [];
  const ageMs = presence.silentMs(host) ?? 0;
  return machines.map((report) => ({ report, ageMs }));
}

function sourceReport({ presence }: Registry, { id, source }: KnownMachine): Aged<SourceReport> | null {
  const report = presence.get(source)?.heartbeat.source;
  const ageMs = presence.silentMs(source);
  return report?.machine === id && ageMs !== null ? { report, ageMs } : null;
}

function spoolReport({ presence }: Registry, host: string, machine: string): Aged<SpoolReport> | null {
  const report = presence.get(host)?.heartbeat.spools?.find((spool) => spool.machine === machine);
  const ageMs = presence.silentMs(host);
  return report !== undefined && ageMs !== null ? { report, ageMs } : null;
}
