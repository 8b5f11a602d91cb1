// A lock on a directory that dies with the process that holds it, however that ends.
import fs from 'node:fs';
import path from 'node:path';
import { HomewardError } from './errors.ts';
import { tryLock } from './linux.ts';

export interface Lock {
  /**
   * Gives the directory free; the file stays, as removing it would let two processes lock two files of one
   * name.
   */
  release(): void;
}

/**
 * Locks `directory` for this process; `purpose` says what holds it (`master target`) to whoever is refused.
 * Throws 'already-running' when another process, or this one, has the lock.
 */
export function acquireLock(directory: string, purpose: string): Lock {
  const file = path.join(directory, 'lock');
  const fd = fs.openSync(file, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o640);
  try {
    if (!tryLock(fd)) throw alreadyRunning(directory, fd);
    // For the message above only: what is locked is the open file, not what it says.
    fs.ftruncateSync(fd, 0);
    fs.writeSync(fd, `${process.pid} ${purpose}\n`, 0);
  } catch (error) {
    fs.closeSync(fd);
    throw error;
  }
  return { release: once(() => fs.closeSync(fd)) };
}

function alreadyRunning(directory: string, fd: number): HomewardError {
  const holder = /^(\d+) (.+)$/m.exec(fs.readFileSync(fd, 'utf8'));
  const who = holder ? `a ${holder[2]} with process id ${holder[1]}` : 'another process';
  return new HomewardError('already-running', `${directory} is in use by ${who}`);
}

function once(action: () => void): () => void {
  let done = false;
  return () => {
    if (!done) action();
    done = true;
  };
}
