// Outlives the command that mounts, however that dies: a process that is told what was put where, and takes
// it away, newest first, when the pipe from the command ends before it was told that all is gone.
import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { takeDown, type Placed } from './take-down.ts';

const allGone = 'all gone';

export interface Guard {
  /** Told before it is put there. */
  placed(what: Placed): void;
  /** Nothing is left to take away. */
  release(): void;
}

/** It is of a session of its own: what ends ours, as Ctrl-C does, does not reach it. */
export function startGuard(): Guard {
  const child = spawn(process.execPath, [...process.execArgv, fileURLToPath(import.meta.url)], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
    // It must not stand in the way of what it may have to take away.
    cwd: '/',
  });
  // Without it a mount is as good as before it was there.
  child.on('error', () => undefined);
  child.stdin.on('error', () => undefined);
  child.unref();
  const tell = (line: unknown): void => void child.stdin.write(`${JSON.stringify(line)}\n`);
  return {
    placed: tell,
    release: () => {
      tell(allGone);
      child.stdin.end();
    },
  };
}

/** What was put there so far, oldest first; nothing once all is gone. A line that was cut is not known. */
export function parsePlaced(told: string): Placed[] {
  const lines = told.split('\n').slice(0, -1);
  const all = lines.map((line) => JSON.parse(line) as Placed | typeof allGone);
  return all.filter((each) => typeof each === 'object' && !all.includes(allGone)) as Placed[];
}

async function guard(): Promise<void> {
  const left = parsePlaced(await text(process.stdin));
  // What was not put there, or is gone already, is in nobody's way.
  for (const each of left.toReversed()) await takeDown(each).catch(() => undefined);
}

if (import.meta.main) await guard();
