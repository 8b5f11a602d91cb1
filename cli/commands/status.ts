// `homeward status`: every machine and how far it is, once or again and again.
import { setTimeout } from 'node:timers/promises';
import type { MachineStatus, StatusReport } from '../../agent/control/client.ts';
import type { FleetReport } from '../../config-server/client.ts';
import { printable } from '../../core/printable.ts';
import { formatSize } from '../../core/units.ts';
import type { Session, Verb } from '../session.ts';
import { formatSeconds, formatTable, type Column } from '../table.ts';
import { formatDisks } from './ingest.ts';

export interface StatusOptions {
  watch?: boolean;
}

const watchIntervalMs = 2000;

export const status: Verb<StatusOptions> = async (session, _operands, options) => {
  await session.withClient(async (client) => {
    if (options.watch) await watch(session, () => client.status());
    else showStatus(session, await client.status());
  });
};

/** Shows it until Ctrl-C, which is how one leaves, so that ends with 0. */
async function watch(session: Session, ask: () => Promise<StatusReport>): Promise<void> {
  const signal = session.io.interrupts();
  const clear = session.io.terminal && !session.json ? '\x1b[H\x1b[2J' : '';
  while (!signal.aborted) {
    const report = await ask();
    session.io.stdout.write(clear);
    showStatus(session, report);
    await setTimeout(watchIntervalMs, undefined, { signal }).catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
  }
}

function showStatus(session: Session, report: StatusReport): void {
  session.result(report, () => formatStatus(report));
}

const firstColumns: Column<MachineStatus>[] = [
  { title: 'MACHINE', cell: ({ name }) => name },
  { title: 'ID', cell: ({ id }) => id },
  { title: 'STATE', cell: formatState },
  {
    title: 'RPO',
    right: true,
    cell: ({ rpoSeconds }) => (rpoSeconds === null ? '-' : formatSeconds(rpoSeconds)),
  },
];

const lastColumns: Column<MachineStatus>[] = [
  { title: 'OLDEST', right: true, cell: ({ oldestLsn }) => (oldestLsn === null ? '-' : String(oldestLsn)) },
  { title: 'APPLIED', right: true, cell: ({ appliedLsn }) => String(appliedLsn) },
  { title: 'DURABLE', right: true, cell: ({ durableLsn }) => String(durableLsn) },
  { title: 'HEAD', right: true, cell: ({ headLsn }) => String(headLsn) },
  { title: 'REDO', right: true, cell: ({ redoBytes }) => formatSize(redoBytes) },
  { title: 'UNDO', right: true, cell: ({ undoBytes }) => formatSize(undoBytes) },
  { title: 'LISTEN', cell: ({ listen }) => listen ?? '-' },
  { title: 'DISKS', cell: ({ disks }) => formatDisks(disks) },
];

/** What waits at each of the three places: the first thing that support asks for. */
const backlogColumns: Column<MachineStatus>[] = [
  { title: 'SOURCE', right: true, cell: ({ backlog }) => formatSize(backlog.source) },
  { title: 'PS', right: true, cell: ({ backlog }) => formatSize(backlog.processServer) },
  { title: 'TARGET', right: true, cell: ({ backlog }) => formatSize(backlog.target) },
];

/** With the columns of the chain where a machine comes over it, or the configuration server answers. */
export function formatStatus(report: StatusReport | FleetReport): string {
  const { machines } = report;
  const fleet = 'hosts' in report;
  const head = fleet ? formatFleet(report) : formatTarget(report);
  if (machines.length === 0) {
    return fleet
      ? `${head}No machine yet: homeward mobility --machine M --disk NAME=PATH … on the machine to protect\n`
      : `${head}No machine yet: homeward ingest open M --disk NAME=SIZE --listen unix:PATH\n`;
  }
  const chain = fleet || machines.some(({ path }) => path === 'chain');
  const columns = [...firstColumns, ...(chain ? backlogColumns : []), ...lastColumns];
  const details = machines
    .filter(({ detail }) => detail !== null)
    .map(({ name, detail }) => `${name}: ${detail}\n`);
  return head + formatTable(columns, machines) + details.join('');
}

function formatTarget({ version, retention, accepted = [] }: StatusReport): string {
  const free = `${formatSize(retention.freeBytes)} free`;
  const forecast = formatForecast(retention.forecast);
  const checks = accepted.map(({ id, because, since, by }) =>
    printable(`Accepted, although it failed: ${id} (${because}; ${by}, ${since})`).concat('\n'),
  );
  return `Homeward ${version}, retention volume ${retention.path}, ${free}\n${forecast}${checks.join('')}`;
}

/** `History falls under 24 h at …`, and who writes most; nothing as long as all of it fits. */
function formatForecast(forecast: StatusReport['retention']['forecast']): string {
  if (forecast === undefined || forecast.text === null) return '';
  const { text, machine, sustainedHours: hours } = forecast;
  const who = machine === null ? '' : `; ${machine} takes most`;
  const fits = hours === null ? '' : `; ${hours} h fit at this rate`;
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}${who}${fits}\n`;
}

function formatFleet({ version, hosts, retentions }: FleetReport): string {
  const health = Object.entries(hosts).filter(([, count]) => count > 0);
  const counted = health.map(([state, count]) => `${count} ${state}`).join(', ') || 'none';
  const volumes = retentions.map(
    ({ name, path, freeBytes, forecast }) =>
      `Retention volume of ${name}: ${path}, ${formatSize(freeBytes)} free\n${formatForecast(forecast)}`,
  );
  return `Homeward ${version}, hosts: ${counted}\n${volumes.join('')}`;
}

/** `initial-sync 37 %, 2 m left` */
export function formatState({ state, source }: MachineStatus): string {
  const sync = source?.sync ?? null;
  if (sync === null || (state !== 'initial-sync' && state !== 'resync' && state !== 'scan')) return state;
  if (sync.phase === 'waiting') return `${state}, ${sync.ahead ?? 0} before it`;
  const percent = sync.totalBytes > 0 ? Math.floor((sync.doneBytes / sync.totalBytes) * 100) : 0;
  const left = sync.secondsLeft === null ? '' : `, ${formatSeconds(sync.secondsLeft)} left`;
  return `${state} ${Math.min(percent, 100)} %${left}`;
}
