// How what a mount has put on the host is taken away again: as data, so that a second process can do it, too.
import fs from 'node:fs';
import { runProgram } from './program.ts';

export type Placed =
  /** A file system of the kernel. */
  | { kind: 'mount'; at: string }
  /** A file that nbdfuse serves, and what it was served over. */
  | { kind: 'image'; at: string }
  /** One that we have made, and that is empty then. */
  | { kind: 'directory'; at: string };

/** Somebody who is still in there keeps the names from coming back, not us from ending. */
export async function takeDown({ kind, at }: Placed): Promise<void> {
  if (kind === 'directory') fs.rmdirSync(at);
  else if (kind === 'mount') await either(['umount', at], ['umount', '--lazy', at]);
  else {
    // Also when its program has died: the mount stays.
    await either(['fusermount3', '-u', at], ['fusermount3', '-u', '-z', at]);
    fs.rmSync(at, { force: true });
  }
}

async function either(...ways: readonly [string, ...string[]][]): Promise<void> {
  for (const [program, ...args] of ways) if ((await runProgram(program, args)).status === 0) return;
}
