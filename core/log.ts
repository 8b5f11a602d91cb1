// The log: one event a line on stderr, logfmt, with the systemd priority prefix.
import { printable } from './printable.ts';

export const LogLevel = { error: 3, warn: 4, info: 6, debug: 7 } as const;
export type LogLevel = keyof typeof LogLevel;
export type LogFields = Record<string, string | number | boolean | null | undefined | Error>;

export interface Log {
  /** An operator must act. */
  error(event: string, fields?: LogFields): void;
  /** Something went wrong and healed. */
  warn(event: string, fields?: LogFields): void;
  /** A change of state. */
  info(event: string, fields?: LogFields): void;
  debug(event: string, fields?: LogFields): void;
}

/** A log that hands finished lines to `write`; lines above `level` are left out. */
export function createLog(level: LogLevel = 'info', write: (line: string) => void = writeToStderr): Log {
  const at =
    (name: LogLevel) =>
    (event: string, fields: LogFields = {}): void => {
      if (LogLevel[name] <= LogLevel[level]) write(formatLogLine(name, event, fields));
    };
  return { error: at('error'), warn: at('warn'), info: at('info'), debug: at('debug') };
}

export function formatLogLine(level: LogLevel, event: string, fields: LogFields): string {
  let line = `<${LogLevel[level]}>level=${level} event=${quoted(event)}`;
  for (const [key, value] of Object.entries(fields)) {
    if (value !== undefined)
      line += ` ${key}=${quoted(value instanceof Error ? describeError(value) : String(value))}`;
  }
  return line + '\n';
}

export const silentLog: Log = createLog('error', () => undefined);

function describeError(error: Error): string {
  const cause = error.cause instanceof Error ? ` (${error.cause.message})` : '';
  return error.message + cause;
}

function quoted(text: string): string {
  return /^[^\s"=\\]+$/.test(text) ? printable(text) : printable(JSON.stringify(text));
}

export function writeToStderr(line: string): void {
  process.stderr.write(line);
}
