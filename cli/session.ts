// One run of the command: where answers go, in which form, and who is asked.
import path from 'node:path';
import type { ControlClient } from '../agent/control/client.ts';
import type { ConfigServerClient } from '../config-server/client.ts';
import { HomewardError, type ExitStatus } from '../core/errors.ts';
import { printable } from '../core/printable.ts';
import type { Io } from './io.ts';
import { readOperatorFile, whomToAsk, type AskFlags } from './whom-to-ask.ts';

export interface Session {
  readonly io: Io;
  readonly json: boolean;
  /** What the user typed as a path, as an absolute one. */
  resolve(file: string): string;
  /** The answer of the command: one JSON document, or the lines for people. */
  result(document: unknown, text: () => string): void;
  /** One line of JSON of long work. */
  jsonLine(document: unknown): void;
  /** Something beside the answer, for people only. */
  note(text: string): void;
  /** The socket of the daemon on this host; 'usage' when a configuration server is asked. */
  controlPath(): string;
  /** Runs `ask` with a client of the daemon, or of all through the configuration server; then closes it. */
  withClient<T>(ask: (client: ControlClient) => Promise<T>): Promise<T>;
  /**
   * The same for what only a configuration server knows; 'daemon-unreachable' without one, with `instead` as
   * what can be done without.
   */
  withServer<T>(ask: (server: ConfigServerClient) => Promise<T>, instead?: string): Promise<T>;
}

/** What a verb does; without a status of its own it ends with 0. */
export type Verb<O> = (session: Session, operands: string[], options: O) => Promise<ExitStatus | void>;

export function createSession(io: Io, json: boolean, flags: AskFlags): Session {
  const resolve = (file: string): string => path.resolve(io.cwd, file);
  return {
    io,
    json,
    resolve,
    result: (document, text) => {
      io.stdout.write(json ? JSON.stringify(document) + '\n' : text());
    },
    jsonLine: (document) => {
      io.stdout.write(JSON.stringify(document) + '\n');
    },
    note: (text) => {
      if (!json) io.stderr.write(text);
    },
    controlPath() {
      const asked = whomToAsk(io, flags);
      if (asked.kind === 'daemon') return asked.control;
      throw new HomewardError('usage', 'this works on the host of the master target alone', {
        hint: 'Run it there, and name the socket of the daemon with --control.',
      });
    },
    async withClient(ask) {
      const asked = whomToAsk(io, flags);
      if (asked.kind === 'server') return withServer(asked.operator, (server) => ask(server.control));
      const { connectControl } = await import('../agent/control/client.ts');
      const client = connectControl(asked.control);
      try {
        return await ask(client);
      } finally {
        await client.close();
      }
    },
    async withServer(ask, instead = '') {
      const asked = whomToAsk(io, flags);
      if (asked.kind === 'server') return withServer(asked.operator, ask);
      const hint = "Name its operator's file with --operator or HOMEWARD_OPERATOR, and give no --control.";
      throw new HomewardError('daemon-unreachable', 'this is a question for a configuration server', {
        hint: hint + instead,
      });
    },
  };
}

async function withServer<T>(operator: string, ask: (server: ConfigServerClient) => Promise<T>): Promise<T> {
  const { connectConfigServer } = await import('../config-server/client.ts');
  const server = connectConfigServer(readOperatorFile(operator));
  try {
    return await ask(server);
  } finally {
    await server.close();
  }
}

/** A failure on stderr: one line what, one line what to do; or as JSON. */
export function writeError(io: Io, json: boolean, error: HomewardError): void {
  const oneLine = (text: string): string => printable(text.trim().replaceAll(/\s*\n\s*/g, '; '));
  io.stderr.write(
    json
      ? JSON.stringify({ error }) + '\n'
      : `homeward: ${oneLine(error.message)} (${error.code})\n${oneLine(error.hint)}\n`,
  );
}
