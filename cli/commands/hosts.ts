// `homeward hosts`, `hosts approve` and `hosts remove`: who reports to the configuration server, or wants to.
import type { HostReport } from '../../config-server/client.ts';
import { printable } from '../../core/printable.ts';
import type { Verb } from '../session.ts';
import { formatSeconds, formatTable, type Column } from '../table.ts';

export const hosts: Verb<object> = async (session) => {
  const found = await session.withServer((server) => server.hosts());
  session.result({ hosts: found }, () => formatHosts(found));
};

export const hostsApprove: Verb<object> = async (session, [host = '']) => {
  const approved = await session.withServer((server) => server.approveHost(host));
  session.result({ host: approved }, () => {
    const who = `The ${approved.role} ${approved.name}`;
    if (approved.state === 'joined') return `${who} has joined already\n`;
    return `${who} may join; it asks again by itself, a Host Config Interface that was left at Accept\n`;
  });
};

export const hostsRemove: Verb<object> = async (session, [host = '']) => {
  const removed = await session.withServer((server) => server.removeHost(host));
  session.result({ host: removed }, () => {
    const ended = removed.role === 'mobility' && removed.state === 'joined';
    const more = ended ? '; what it was the source of is not protected any more' : '';
    return `The ${removed.role} ${removed.name} (${removed.id}) is removed${more}\n`;
  });
};

const columns: Column<HostReport>[] = [
  { title: 'ROLE', cell: ({ role }) => role },
  { title: 'NAME', cell: ({ name }) => name },
  { title: 'ID', cell: ({ id }) => id },
  { title: 'ENTRY', cell: ({ entry }) => entry },
  { title: 'VERSION', cell: ({ version }) => version },
  { title: 'HEALTH', cell: ({ health }) => health },
  {
    title: 'HEARD',
    right: true,
    cell: ({ silentSeconds }) => (silentSeconds === null ? '-' : `${formatSeconds(silentSeconds)} ago`),
  },
  { title: 'ADDRESSES', cell: ({ addresses, seenAt }) => addresses.join(', ') || (seenAt ?? '-') },
];

export function formatHosts(found: readonly HostReport[]): string {
  if (found.length === 0) return 'No host yet: start one with --config-server and --passphrase-file\n';
  const details = found
    .filter(({ detail }) => detail !== null)
    .map((host) => `${printable(host.name)} (${host.entry}): ${host.detail}\n`);
  const checks = found.flatMap(formatHostChecks).map((line) => `${line}\n`);
  const [waiting] = found.filter(({ state }) => state === 'waiting');
  const hint = waiting === undefined ? '' : `Say yes with: homeward hosts approve ${waiting.entry}\n`;
  return formatTable(columns, found) + details.join('') + checks.join('') + hint;
}

/** What its checks have found, by their ids; what was accepted with its reason. */
function formatHostChecks({ name, entry, checks }: HostReport): string[] {
  const failed = (checks?.checks ?? []).filter(({ result }) => result === 'fail');
  const open = failed.filter(({ because }) => because === null).map(({ id }) => id);
  const who = `${printable(name)} (${entry})`;
  return [
    ...(open.length === 0 ? [] : [`${who}: failed checks: ${printable(open.join(', '))}`]),
    ...failed.flatMap(({ id, because }) =>
      because === null ? [] : [printable(`${who}: accepted, although it failed: ${id} (${because})`)],
    ),
  ];
}
