// `homeward status`: every machine and how far it is, once or again and again.
import { setTimeout } from 'node:timers/promises';
import type { MachineStatus, StatusReport } from '../../agent/control/client.ts';
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

const columns: Column<MachineStatus>[] = [
  { title: 'MACHINE', cell: ({ name }) => name },
  { title: 'ID', cell: ({ id }) => id },
  { title: 'STATE', cell: ({ state }) => state },
  {
    title: 'RPO',
    right: true,
    cell: ({ rpoSeconds }) => (rpoSeconds === null ? '-' : formatSeconds(rpoSeconds)),
  },
  { title: 'OLDEST', right: true, cell: ({ oldestLsn }) => (oldestLsn === null ? '-' : String(oldestLsn)) },
  { title: 'APPLIED', right: true, cell: ({ appliedLsn }) => String(appliedLsn) },
  { title: 'DURABLE', right: true, cell: ({ durableLsn }) => String(durableLsn) },
  { title: 'HEAD', right: true, cell: ({ headLsn }) => String(headLsn) },
  { title: 'REDO', right: true, cell: ({ redoBytes }) => formatSize(redoBytes) },
  { title: 'UNDO', right: true, cell: ({ undoBytes }) => formatSize(undoBytes) },
  { title: 'LISTEN', cell: ({ listen }) => listen ?? '-' },
  { title: 'DISKS', cell: ({ disks }) => formatDisks(disks) },
];

export function formatStatus({ version, retention, machines }: StatusReport): string {
  const free = formatSize(retention.freeBytes);
  const head = `Homeward ${version}, retention volume ${retention.path}, ${free} free\n`;
  if (machines.length === 0) {
    return `${head}No machine yet: homeward ingest open M --disk NAME=SIZE --listen unix:PATH\n`;
  }
  const details = machines
    .filter(({ detail }) => detail !== null)
    .map(({ name, detail }) => `${name}: ${detail}\n`);
  return head + formatTable(columns, machines) + details.join('');
}
