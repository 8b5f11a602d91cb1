// What is built: its version, its time and where it comes from, from the checkout and the environment.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

export interface Build {
  /** The checkout. */
  root: string;
  version: string;
  /** Seconds since 1970, on every file that is packed. */
  epoch: number;
  /** The commit, or `local`. */
  revision: string;
  /** Where the results go. */
  out: string;
}

/** VERSION and SOURCE_DATE_EPOCH win over package.json and the last commit. */
export function describeBuild(root: string, out: string, env: NodeJS.ProcessEnv): Build {
  const { version } = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8')) as {
    version: string;
  };
  const wanted = env['VERSION'] || version;
  // It becomes a directory, a file name and the version of an rpm, where a dash has a meaning of its own.
  if (!/^\d+\.\d+\.\d+(?:\.\w+)*$/.test(wanted)) throw new Error(`"${wanted}" is no version such as 1.2.3`);
  const [time = '', revision = 'local'] = lastCommit(root);
  const epoch = Number(env['SOURCE_DATE_EPOCH'] || time || Number.NaN);
  if (!Number.isSafeInteger(epoch) || epoch < 0) {
    throw new Error('there is no commit to take the time from: set SOURCE_DATE_EPOCH to seconds since 1970');
  }
  return { root, version: wanted, epoch, revision, out };
}

/** Its time and short hash; empty where there is no git or no commit. */
function lastCommit(root: string): string[] {
  const { status, stdout } = spawnSync('git', ['-C', root, 'log', '-1', '--format=%ct %h', '--abbrev=12'], {
    encoding: 'utf8',
  });
  return status === 0 ? stdout.trim().split(' ') : [];
}

/** For texts: the day of the build, in UTC. */
export function dayOf({ epoch }: Build): string {
  return new Date(epoch * 1000).toISOString().slice(0, 10);
}
