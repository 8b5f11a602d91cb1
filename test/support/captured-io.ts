// The world of a command, captured: what it wrote can be read back, and what it is told can be chosen.
import { PassThrough } from 'node:stream';
import type { Io } from '../../cli/io.ts';

export interface CapturedIo extends Io {
  readonly stdin: PassThrough;
  out(): string;
  err(): string;
  /** What Ctrl-C does. */
  interrupt(): void;
}

export function capturedIo(
  options: Partial<Pick<Io, 'interactive' | 'terminal' | 'cwd' | 'env'>> = {},
): CapturedIo {
  const stdout = new PassThrough().setEncoding('utf8');
  const stderr = new PassThrough().setEncoding('utf8');
  const controller = new AbortController();
  let out = '';
  let err = '';
  stdout.on('data', (piece: string) => {
    out += piece;
  });
  stderr.on('data', (piece: string) => {
    err += piece;
  });
  return {
    stdin: new PassThrough(),
    stdout,
    stderr,
    interactive: false,
    terminal: false,
    cwd: '/somewhere',
    env: {},
    ...options,
    interrupts: () => controller.signal,
    out: () => out,
    err: () => err,
    interrupt: () => controller.abort('SIGINT'),
  };
}
