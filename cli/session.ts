// One run of the command: where answers go, in which form, and the daemon that is asked.
import path from 'node:path';
import type { ControlClient } from '../agent/control/client.ts';
import type { ExitStatus, HomewardError } from '../core/errors.ts';
import type { Io } from './io.ts';

export interface Session {
  readonly io: Io;
  readonly json: boolean;
  /** The socket of the daemon that is asked. */
  readonly control: string;
  /** What the user typed as a path, as an absolute one. */
  resolve(file: string): string;
  /** The answer of the command: one JSON document, or the lines for people. */
  result(document: unknown, text: () => string): void;
  /** One line of JSON of long work. */
  jsonLine(document: unknown): void;
  /** Something beside the answer, for people only. */
  note(text: string): void;
  /** Runs `ask` with a client of the daemon, which is closed afterwards. */
  withClient<T>(ask: (client: ControlClient) => Promise<T>): Promise<T>;
}

/** What a verb does; without a status of its own it ends with 0. */
export type Verb<O> = (session: Session, operands: string[], options: O) => Promise<ExitStatus | void>;

export const defaultControl = '/run/homeward/control.sock';

export function createSession(io: Io, json: boolean, control: string | undefined): Session {
  const resolve = (file: string): string => path.resolve(io.cwd, file);
  const fromEnvironment = io.env['HOMEWARD_CONTROL'];
  const socket = control ?? (fromEnvironment === '' ? undefined : fromEnvironment) ?? defaultControl;
  return {
    io,
    json,
    resolve,
    control: resolve(socket),
    result: (document, text) => {
      io.stdout.write(json ? JSON.stringify(document) + '\n' : text());
    },
    jsonLine: (document) => {
      io.stdout.write(JSON.stringify(document) + '\n');
    },
    note: (text) => {
      if (!json) io.stderr.write(text);
    },
    async withClient(ask) {
      const { connectControl } = await import('../agent/control/client.ts');
      const client = connectControl(resolve(socket));
      try {
        return await ask(client);
      } finally {
        await client.close();
      }
    },
  };
}

/** A failure on stderr: one line what, one line what to do; or as JSON. */
export function writeError(io: Io, json: boolean, error: HomewardError): void {
  const oneLine = (text: string): string => text.trim().replaceAll(/\s*\n\s*/g, '; ');
  io.stderr.write(
    json
      ? JSON.stringify({ error }) + '\n'
      : `homeward: ${oneLine(error.message)} (${error.code})\n${oneLine(error.hint)}\n`,
  );
}
