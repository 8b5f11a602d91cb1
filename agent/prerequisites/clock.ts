// `clock`: kept by somebody who knows the time, and close to the configuration server's: points are times.
import { limits } from '../../core/limits.ts';
import { fail, pass, warn, type Check } from './check.ts';
import type { Host } from './host.ts';

export const clock: Check = {
  id: 'clock',
  severity: 'advice',
  title: 'Clock',
  async run(host, { clockOffsetMs }) {
    const byServer =
      clockOffsetMs === null ? '' : `; ${spellOffset(clockOffsetMs)} the configuration server's`;
    const apart = Math.abs(clockOffsetMs ?? 0);
    if (apart > limits.clockSkewMs) {
      return fail(
        `the clock is ${spellOffset(clockOffsetMs ?? 0)} that of the configuration server`,
        'Set the clock, and have chrony or systemd-timesyncd keep it: hosts 15 minutes apart do not enrol.',
      );
    }
    const synchronised = await readSynchronised(host);
    const action =
      'Have it kept, for example: sudo systemctl enable --now chronyd (systemd-timesyncd on Debian).';
    if (synchronised === null) return warn(`nothing here says whether the clock is kept${byServer}`, action);
    if (!synchronised) return fail(`the clock is not synchronised${byServer}`, action);
    if (apart > limits.clockSkewWarnedMs)
      return warn(`synchronised, but ${spellOffset(clockOffsetMs ?? 0)} the configuration server's`, action);
    return pass(`synchronised${byServer}`);
  },
};

/** Null where neither the service manager nor chrony can be asked. */
async function readSynchronised(host: Host): Promise<boolean | null> {
  const asked = await host.run('timedatectl', ['show', '--property=NTPSynchronized', '--value']);
  const said = asked?.status === 0 ? asked.stdout.trim() : '';
  if (said === 'yes' || host.stat('/run/systemd/timesync/synchronized') !== null) return true;
  const tracking = await host.run('chronyc', ['-n', 'tracking']);
  if (tracking?.status === 0) return /^Leap status\s*:\s*Normal/m.test(tracking.stdout);
  return said === 'no' ? false : null;
}

/** The offset is the server's clock less ours. */
function spellOffset(offsetMs: number): string {
  const seconds = Math.round(Math.abs(offsetMs) / 1000);
  if (seconds === 0) return 'within a second of';
  const amount = seconds < 120 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
  return `${amount} ${offsetMs > 0 ? 'behind' : 'ahead of'}`;
}
