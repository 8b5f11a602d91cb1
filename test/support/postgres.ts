// A PostgreSQL server on a directory of the test's, run as the user that it insists on.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import type { Test } from 'tap';
import { run, runOk, until } from './homeward.ts';
import { loopDeviceMissing } from './loop-device.ts';
import { mountCommands } from './mounted-disk.ts';
import { skipUnless } from './needs.ts';

const programs = postgresPrograms();
/** Why a server on a mounted disk cannot be had here, or false. */
export const postgresMissing =
  skipUnless({
    root: true,
    full: true,
    commands: [...mountCommands, 'psql', 'setpriv'],
    files: ['/dev/fuse'],
  }) ||
  (loopDeviceMissing() ?? false) ||
  (programs === null ? 'needs a PostgreSQL server' : false);

/** Debian keeps them in a directory for each version. */
function postgresPrograms(): string | null {
  const root = '/usr/lib/postgresql';
  const versions = fs.existsSync(root) ? fs.readdirSync(root) : [];
  const newest = versions.toSorted((a, b) => Number(a) - Number(b)).at(-1);
  return newest === undefined ? null : `${root}/${newest}/bin`;
}

/** PostgreSQL refuses to run as root. */
const asPostgres = ['--reuid=postgres', '--regid=postgres', '--init-groups'];

export interface RunningServer {
  stop(): Promise<void>;
  /** As when its disk is gone: nothing is written any more. */
  abandon(): Promise<void>;
}

/** A running server on `data`; its socket is in the same place. */
export async function startServer(t: Test, data: string): Promise<RunningServer> {
  const args = [...asPostgres, `${programs}/postgres`, '-D', data, '-k', data, '-c', 'listen_addresses='];
  const child = spawn('setpriv', args, { stdio: ['ignore', 'ignore', 'pipe'], cwd: '/' });
  let log = '';
  child.stderr.on('data', (text: Buffer) => {
    log += text.toString();
  });
  const ended = once(child, 'exit');
  t.teardown(async () => {
    child.kill('SIGQUIT');
    if (child.exitCode === null && child.signalCode === null) await ended;
  });
  await until(
    'PostgreSQL to be ready',
    async () => {
      if (child.exitCode !== null) throw new Error(`PostgreSQL ended: ${log}`);
      return (await run('psql', ['-h', data, '-U', 'postgres', '-c', 'SELECT 1'])).status === 0;
    },
    60_000,
  );
  return {
    async stop() {
      child.kill('SIGINT');
      await ended;
    },
    async abandon() {
      child.kill('SIGQUIT');
      await ended;
    },
  };
}

export const query = (data: string, sql: string): Promise<string> =>
  runOk('psql', ['-h', data, '-U', 'postgres', '-AtXc', sql]);

/** A new database cluster in a new directory. */
export async function initDatabase(data: string): Promise<void> {
  fs.mkdirSync(data, { mode: 0o700 });
  await runOk('chown', ['postgres:postgres', data]);
  await runOk('setpriv', [...asPostgres, `${programs}/initdb`, '-D', data, '-A', 'trust'], { cwd: '/' });
}
