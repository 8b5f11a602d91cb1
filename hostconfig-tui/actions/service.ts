// The service of this host as systemd knows it.
import { execFile } from 'node:child_process';
import { serviceDropIn, writeServiceDropIn } from '../../core/service-drop-in.ts';
import { readSettings } from './config-file.ts';
import type { Places } from './places.ts';

export type ServiceState =
  /** No systemd here, or none that runs. */
  | { kind: 'no-systemd' }
  | { kind: 'not-installed' }
  /** `words`: running, stopped, failed …. */
  | { kind: 'known'; words: string };

const systemctlMs = 60_000;

export async function readService(unit: string): Promise<ServiceState> {
  const shown = await systemctl('show', '--property=LoadState,ActiveState,SubState', unit);
  if (shown.status !== 0) return { kind: 'no-systemd' };
  return parseService(shown.stdout);
}

/** Of the properties that `systemctl show` prints. */
export function parseService(text: string): ServiceState {
  const properties = new Map(
    text.split('\n').map((line) => [line.split('=')[0] ?? '', line.slice(line.indexOf('=') + 1)]),
  );
  if (properties.get('LoadState') !== 'loaded') return { kind: 'not-installed' };
  const active = properties.get('ActiveState') ?? '';
  return { kind: 'known', words: stateWords[active] ?? active };
}

const stateWords: Readonly<Record<string, string>> = {
  active: 'running',
  inactive: 'stopped',
  failed: 'failed',
  activating: 'starting',
  deactivating: 'stopping',
  reloading: 'reloading',
};

export const serviceWords = (state: ServiceState): string | null =>
  state.kind === 'known' ? state.words : null;

/** Has the daemon read its settings and its identity anew; what is to be told of that. */
export async function restartService({ unit, units, role, config }: Places): Promise<string> {
  const state = await readService(unit);
  if (state.kind !== 'known') {
    const why = state.kind === 'no-systemd' ? 'There is no systemd here' : `There is no unit ${unit}`;
    return `${why}: if the daemon runs, restart it yourself: homeward ${role} --config ${config}`;
  }
  const settings = readSettings(config);
  const changed = writeServiceDropIn(serviceDropIn(settings), units);
  if (changed) await systemctl('daemon-reload');
  if (role === 'mobility' && settings.machineDisks === '') {
    const then = `homeward config service --write --config ${config} && systemctl restart ${unit}`;
    return `The service ${unit} has no disks to serve: set MachineDisks and MachineListen, then \`${then}\`.`;
  }
  const { status, stderr } = await systemctl('restart', unit);
  if (status === 0) return `The service ${unit} was restarted.`;
  const reason = stderr.trim().split('\n')[0] ?? '';
  return `The service ${unit} did not restart: ${reason} Look at \`journalctl -u ${unit}\`.`;
}

/** The status is null when there is no such program. */
function systemctl(...args: string[]): Promise<{ status: number | null; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const env = { ...process.env, LC_ALL: 'C.UTF-8', SYSTEMD_COLORS: '0', SYSTEMD_PAGER: '' };
    execFile('systemctl', args, { env, timeout: systemctlMs }, (error, stdout, stderr) => {
      const code: unknown = error === null ? 0 : error.code;
      resolve({ status: typeof code === 'number' ? code : null, stdout, stderr });
    });
  });
}
