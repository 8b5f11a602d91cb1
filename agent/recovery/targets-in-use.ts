// What the recoveries of this daemon are writing to: two of them never write to one target.
import fs from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { HomewardError } from '../../core/errors.ts';

export class TargetsInUse {
  readonly #keys = new Set<string>();

  /** Throws 'conflict' when a recovery writes there. */
  refuseInUse(target: string): void {
    if (!this.#keys.has(keyOf(target))) return;
    throw new HomewardError('conflict', `${target} is being recovered to already`, {
      hint: 'Wait until the other recovery has ended, or choose another target.',
    });
  }

  /** All of them or none; gives back what releases them. */
  claim(targets: readonly string[]): () => void {
    for (const target of targets) this.refuseInUse(target);
    const keys = targets.map(keyOf);
    for (const key of keys) this.#keys.add(key);
    return () => {
      for (const key of keys) this.#keys.delete(key);
    };
  }
}

/** Recoveries are the daemon's, whichever machine they are of: one set for all. */
export const targetsInUse = new TargetsInUse();

/** The same for every way to spell the target: a device has one number, a directory one real path. */
function keyOf(target: string): string {
  const stat = tryStat(target);
  return stat?.isBlockDevice()
    ? `device ${stat.rdev}`
    : `file ${join(realPath(dirname(target)), basename(target))}`;
}

/** What does not exist yet will be made below what does. */
function realPath(directory: string): string {
  try {
    return fs.realpathSync(directory);
  } catch {
    const parent = dirname(directory); // whatever stands in the way is said when it is to be made
    return parent === directory ? directory : join(realPath(parent), basename(directory));
  }
}

function tryStat(path: string): fs.Stats | null {
  try {
    return fs.statSync(path);
  } catch {
    return null; // not there, or not to be looked at: then it is no device that we write to
  }
}
