// How machines and retention volumes do as metrics, in the text format of Prometheus.
import { Gauge, Registry } from 'prom-client';
import type { MachineStatus, RetentionForecast } from './machine-status.ts';

/** What is measured; of each master target its retention volume. */
export interface Measured {
  machines: readonly MachineStatus[];
  volumes: readonly {
    /** The master target by name, where several are measured. */
    name?: string;
    path: string;
    freeBytes: number;
    forecast?: RetentionForecast | undefined;
  }[];
}

/** The media type of what `formatMetrics` gives. */
export const metricsType = 'text/plain; version=0.0.4; charset=utf-8';

const machineGauges: [name: string, help: string, value: (machine: MachineStatus) => number | null][] = [
  ['rpo_seconds', 'Age of the newest durable, recoverable point', ({ rpoSeconds }) => rpoSeconds],
  ['head_lsn', 'The newest write that has been received', ({ headLsn }) => headLsn],
  ['durable_lsn', 'The newest write that is durable', ({ durableLsn }) => durableLsn],
  ['applied_lsn', 'How far the replica is', ({ appliedLsn }) => appliedLsn],
  ['oldest_lsn', 'The least that a view can show', ({ oldestLsn }) => oldestLsn],
  ['redo_bytes', 'Redo on the retention volume', ({ redoBytes }) => redoBytes],
  ['undo_bytes', 'Undo on the retention volume', ({ undoBytes }) => undoBytes],
];

/** A new registry each time: what is not there any more is not told any more. */
export function formatMetrics({ machines, volumes }: Measured): Promise<string> {
  const registry = new Registry();
  const gauge = (name: string, help: string, labelNames: string[]): Gauge =>
    new Gauge({ name: `homeward_${name}`, help, labelNames, registers: [registry] });
  for (const [name, help, value] of machineGauges) {
    const each = gauge(`machine_${name}`, help, ['machine', 'id']);
    for (const machine of machines) {
      const measured = value(machine);
      if (measured !== null) each.set({ machine: machine.name, id: machine.id }, measured);
    }
  }
  const backlog = gauge('machine_backlog_bytes', 'What waits, by where it waits', ['machine', 'id', 'at']);
  const state = gauge('machine_state', '1 for the state that it is in', ['machine', 'id', 'state']);
  for (const { name: machine, id, state: now, backlog: waits } of machines) {
    state.set({ machine, id, state: now }, 1);
    for (const [at, bytes] of Object.entries(waits)) backlog.set({ machine, id, at }, bytes);
  }
  addVolumes(gauge, volumes);
  return registry.metrics();
}

function addVolumes(
  gauge: (name: string, help: string, labelNames: string[]) => Gauge,
  volumes: Measured['volumes'],
): void {
  const labels = ['target', 'path'];
  const free = gauge('retention_free_bytes', 'Free on the retention volume', labels);
  const hours = gauge('history_wanted_hours', 'The longest dense window of all machines', labels);
  const fits = gauge('history_fitting_hours', 'Hours of history that fit at the present rate', labels);
  const falls = gauge(
    'history_falls_short_timestamp_seconds',
    'When history falls, or fell, under what is wanted; not there as long as all of it fits',
    labels,
  );
  for (const { name: target = '', path, freeBytes, forecast } of volumes) {
    const label = { target, path };
    free.set(label, freeBytes);
    if (forecast === undefined) continue;
    hours.set(label, forecast.hours);
    if (forecast.sustainedHours !== null) fits.set(label, forecast.sustainedHours);
    if (forecast.fallsUnderAt !== null) falls.set(label, Date.parse(forecast.fallsUnderAt) / 1000);
  }
}
