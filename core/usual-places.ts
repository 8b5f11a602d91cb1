// Where things of an installed host lie when nothing else is said.
import path from 'node:path';

export type DaemonRole = 'master-target' | 'config-server' | 'process-server' | 'mobility' | 'all-in-one';

/** Where a daemon keeps who it is. */
export const usualData = (role: DaemonRole): string =>
  role === 'all-in-one' ? usualState : path.join(usualState, role);

const usualState = '/var/lib/homeward';

/** Where commands look for the daemon of this host. */
export const usualControl = '/run/homeward/control.sock';
