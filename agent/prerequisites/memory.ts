// `memory`: enough for the indexes of redo, and for views, each of which takes about 25 MiB.
import { formatSize } from '../../core/units.ts';
import { pass, skipped, warn, type Check } from './check.ts';

const GiB = 1024 ** 3;

/** Below it pages are taken from other programs; what most master targets do well with. */
const leastBytes: Readonly<Record<string, number>> = {
  'config-server': 2 * GiB,
  'process-server': 4 * GiB,
  'master-target': 4 * GiB,
  mobility: GiB,
};

export const memory: Check = {
  id: 'memory',
  severity: 'advice',
  title: 'Memory',
  async run(host, { role }) {
    const match = /^MemTotal:\s+(\d+) kB$/m.exec(host.read('/proc/meminfo') ?? '');
    if (match === null) return skipped('/proc/meminfo does not say');
    const bytes = Number(match[1]) * 1024;
    const least = leastBytes[role] ?? GiB;
    // The kernel keeps a part of what the host has: what is called 4 G shows as less.
    if (bytes >= least * 0.9) return pass(formatSize(bytes));
    return warn(`${formatSize(bytes)}`, `Give this host ${formatSize(least)} or more.`);
  },
};
