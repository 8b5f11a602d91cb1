// `homeward machines`: what can be protected, and whom each machine is assigned to.
import type { MachineReport } from '../../config-server/client.ts';
import type { Verb } from '../session.ts';
import { formatSeconds, formatTable, type Column } from '../table.ts';
import { formatDisks } from './ingest.ts';

export const machines: Verb<object> = async (session) => {
  const found = await session.withServer((server) => server.machines());
  session.result({ machines: found }, () => formatMachines(found));
};

const columns: Column<MachineReport>[] = [
  { title: 'MACHINE', cell: ({ name }) => name },
  { title: 'ID', cell: ({ id }) => id },
  { title: 'STATE', cell: ({ state }) => state },
  { title: 'PROTECTED', cell: (machine) => (machine.protected ? 'yes' : 'no') },
  { title: 'PROCESS SERVER', cell: ({ processServer }) => processServer?.name ?? '-' },
  { title: 'MASTER TARGET', cell: ({ masterTarget }) => masterTarget?.name ?? '-' },
  {
    title: 'WINDOW',
    right: true,
    cell: ({ windowMs }) => (windowMs === null ? '-' : formatSeconds(windowMs / 1000)),
  },
  { title: 'DISKS', cell: ({ disks }) => formatDisks(disks) },
];

export function formatMachines(found: readonly MachineReport[]): string {
  if (found.length > 0) return formatTable(columns, found);
  return 'No machine yet: homeward mobility --machine M --disk NAME=PATH … on the machine to protect\n';
}
