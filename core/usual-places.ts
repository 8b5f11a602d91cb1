// Where things of an installed host lie when nothing else is said.
import path from 'node:path';
import { runDirectory } from './run-directory.ts';

export type DaemonRole = 'master-target' | 'config-server' | 'process-server' | 'mobility' | 'all-in-one';

const usualState = '/var/lib/homeward';

/** Where a daemon keeps who it is. */
export const usualData = (role: DaemonRole): string =>
  role === 'all-in-one' ? usualState : path.join(usualState, role);

/** Where an installed configuration server leaves what operators need, for those who may read it. */
export const usualOperatorFiles = ['config-server/operator.json', 'operator.json'].map((name) =>
  path.join(usualState, name),
);

/** `DIR/Vx` of a program in `DIR/Vx/releases/<version>`; null for a checkout. */
export const installationOf = (program: string): string | null =>
  /^(.+)\/releases\/[^/]+$/.exec(program)?.[1] ?? null;

/** The `Vx` directories of this host: of the installation that is running, then where one usually is. */
export function installations(): string[] {
  const own = installationOf(path.dirname(import.meta.dirname));
  return [...new Set([...(own === null ? [] : [own]), '/usr/local/ASR/Vx', '/opt/homeward/Vx'])];
}

/** Where commands look for the daemon of this host. */
export const usualControl = path.join(runDirectory, 'control.sock');
