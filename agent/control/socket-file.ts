// The control socket as a file: taking over a dead daemon's, and who may connect.
import fs from 'node:fs';
import net from 'node:net';
import { errnoOf, HomewardError } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import type { Log } from '../../core/log.ts';
import { groupId, readGroups } from '../../core/run-directory.ts';

/** A path that the kernel takes as a socket address, or a `usage` error. */
export function checkSocketPath(path: string): void {
  const length = Buffer.byteLength(path);
  if (length === 0 || length > limits.unixPathBytes || path.includes('\0')) {
    throw new HomewardError(
      'usage',
      `the socket path ${JSON.stringify(path)} has ${length} bytes; it may have 1 to ${limits.unixPathBytes}`,
      { hint: 'Give a shorter path with --control PATH.' },
    );
  }
}

/**
 * Removes the socket file that a dead daemon left behind. One that answers belongs to a daemon with other
 * data directories (ours are locked by the caller), and anything but a socket is not ours to remove.
 */
export async function removeStaleSocket(path: string): Promise<void> {
  const found = fs.lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new HomewardError('conflict', `${path} exists and is not a socket`, {
      hint: 'Give another path with --control PATH.',
    });
  }
  if (await answers(path)) {
    throw new HomewardError('already-running', `another daemon answers on ${path}`, {
      hint: 'Stop the other daemon first, or give this one another --control PATH.',
    });
  }
  fs.rmSync(path, { force: true });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error) => {
      const errno = errnoOf(error);
      if (errno === 'ECONNREFUSED' || errno === 'ENOENT') resolve(false);
      // EAGAIN: its queue is full, so somebody holds it.
      else if (errno === 'EAGAIN') resolve(true);
      else reject(error);
    });
  });
}

/**
 * Mode 0660, and group `homeward` where there is one. Until the chmod only the owner may write to (that is,
 * connect to) the new socket under any usual umask.
 */
export function shareSocket(path: string, log: Log, groups: string = readGroups()): void {
  const gid = groupId(groups, 'homeward');
  if (gid !== null) {
    try {
      fs.chownSync(path, process.geteuid?.() ?? 0, gid);
    } catch (error) {
      log.warn('control-group-not-set', { path, group: 'homeward', errno: errnoOf(error) });
    }
  }
  fs.chmodSync(path, 0o660);
}
