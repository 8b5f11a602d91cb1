// `cpu`: one processor for writes that come, and at least one for everything else.
import { pass, skipped, warn, type Check } from './check.ts';

const least = 2;

export const cpu: Check = {
  id: 'cpu',
  severity: 'advice',
  title: 'Processors',
  async run(host) {
    const online = countOnline(host.read('/sys/devices/system/cpu/online') ?? '');
    if (online === 0) return skipped('/sys does not say');
    if (online >= least) return pass(`${online} processors`);
    return warn(
      '1 processor: applying and checking take their time from writes that come',
      'Give it 2 or more.',
    );
  },
};

/** `0-3,5` are five. */
export function countOnline(ranges: string): number {
  const parts = ranges
    .trim()
    .split(',')
    .filter((part) => part !== '');
  return parts.reduce((sum, part) => {
    const [first = 0, last = first] = part.split('-').map(Number);
    return sum + (last - first + 1);
  }, 0);
}
