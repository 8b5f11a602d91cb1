// What a command touches of the world around it: streams, directory, environment, interrupts.
import type { Readable, Writable } from 'node:stream';

export interface Io {
  stdin: Readable;
  stdout: Writable;
  stderr: Writable;
  /** Somebody sits there who reads stderr and can answer on stdin. */
  interactive: boolean;
  /** stderr is a terminal, so a progress bar may be drawn. */
  terminal: boolean;
  cwd: string;
  env: Readonly<Record<string, string | undefined>>;
  /** From the first call on, Ctrl-C and SIGTERM abort this signal in place of ending the process at once. */
  interrupts(): AbortSignal;
}

/** The process as it is. */
export function hostIo(): Io {
  const { stdin, stdout, stderr, env } = process;
  const controller = new AbortController();
  let listening = false;
  return {
    stdin,
    stdout,
    stderr,
    env,
    interactive: stdin.isTTY && stderr.isTTY,
    terminal: stderr.isTTY,
    cwd: process.cwd(),
    interrupts() {
      if (!listening) {
        listening = true;
        // Once only: a second Ctrl-C ends the process in the usual way.
        for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => controller.abort(name));
      }
      return controller.signal;
    },
  };
}
