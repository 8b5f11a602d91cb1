// `homeward check`: whether this host can do what it is for; and the words for findings that may stay.
import fs from 'node:fs';
import os from 'node:os';
import {
  acceptChecks,
  allChecks,
  dataOf,
  liveHost,
  readCheckContext,
  readInventory,
  rememberAcceptance,
  rememberChecks,
  runChecks,
  usualConfigs,
  withdrawAcceptance,
  type ContextOptions,
} from '../../agent/prerequisites/client.ts';
import { errnoOf, ExitStatus, HomewardError } from '../../core/errors.ts';
import { createLog } from '../../core/log.ts';
import { required } from '../operands.ts';
import type { Session, Verb } from '../session.ts';
import { formatChecks, formatInventory } from './format-checks.ts';

export interface CheckOptions {
  fix?: boolean;
  hard?: boolean;
  offline?: boolean;
  accept?: string[];
  because?: string;
  withdraw?: string;
  config?: string;
  data?: string;
  retention?: string;
  replicas?: string;
}

export const check: Verb<CheckOptions> = async (session, _operands, options) => {
  refuseTogether(options);
  const given = contextOptions(session, options);
  if (options.accept !== undefined) return accept(session, options.accept, options.because, given);
  if (options.withdraw !== undefined) return withdraw(session, options.withdraw, given);
  const host = liveHost();
  const context = await readCheckContext(given);
  const report = await runChecks(allChecks, host, context, {
    fix: options.fix === true,
    hardOnly: options.hard === true,
    done: ({ id }) => progress(session, id),
  });
  clearProgress(session);
  rememberChecks(context.data, report);
  // A service that starts need not wait for it.
  const inventory = options.hard === true ? null : await readInventory();
  session.result(
    { ...report, inventory },
    () => formatInventory(inventory) + formatChecks(report, host.uid === 0, terminalColumns(session)),
  );
  // With --hard only what keeps the service from starting counts.
  const isGood = options.hard === true ? !report.blocked : report.ok;
  return isGood ? ExitStatus.done : ExitStatus.found;
};

function refuseTogether({ accept: id, because, withdraw: other, fix, hard }: CheckOptions): void {
  const usage = (message: string, hint: string): HomewardError =>
    new HomewardError('usage', message, { hint });
  if (because !== undefined && id === undefined)
    throw usage('--because is for --accept', 'Give --accept ID --because TEXT.');
  if (id !== undefined && because === undefined)
    throw usage('--because is missing', 'Say why the finding may stay: --accept ID --because TEXT.');
  if (id !== undefined && other !== undefined)
    throw usage('--accept and --withdraw do not go together', 'Do one after the other.');
  if ((id ?? other) !== undefined && (fix === true || hard === true))
    throw usage('--accept and --withdraw look at nothing', 'Leave --fix and --hard out.');
}

function contextOptions(session: Session, options: CheckOptions): ContextOptions {
  const place = (name: 'data' | 'retention' | 'replicas'): Record<string, string> => {
    const value = options[name];
    return value === undefined ? {} : { [name]: session.resolve(required(value, `--${name}`)) };
  };
  return {
    config: configFile(session, options.config),
    environment: session.io.env,
    ...place('data'),
    ...place('retention'),
    ...place('replicas'),
    offline: options.offline === true,
    log: createLog(),
  };
}

/**
 * On an installed host nobody has to name it. Throws 'not-writable' where it is not for us to read: without
 * it another role, and other places than those of this host, would be judged.
 */
function configFile(session: Session, named: string | undefined): string | null {
  if (named !== undefined) return session.resolve(required(named, '--config'));
  return usualConfigs().find(isThere) ?? null;
}

function isThere(file: string): boolean {
  try {
    fs.accessSync(file, fs.constants.R_OK);
    return true;
  } catch (error) {
    const errno = errnoOf(error) ?? 'unknown';
    if (errno === 'ENOENT' || errno === 'ENOTDIR') return false;
    throw new HomewardError('not-writable', `${file} cannot be read: ${errno}`, {
      cause: error,
      hint: 'It says which role this host has, and where its places are: run this as root (sudo).',
    });
  }
}

/** `lists`: ids with commas between them, as the installer takes them. */
function accept(session: Session, lists: readonly string[], reason = '', given: ContextOptions): ExitStatus {
  const data = dataOf(given);
  const because = reason.trim();
  const told = { because, since: new Date().toISOString(), by: userName(session) };
  const ids = new Set(lists.flatMap((list) => list.split(',')));
  const entries = [...ids].map((id) => ({ id, ...told }));
  acceptChecks(data, allChecks, entries);
  for (const entry of entries) {
    const { id } = entry;
    rememberAcceptance(data, id, because);
    session.result({ accepted: entry }, () => `${id} is accepted: ${because}\n`);
  }
  return ExitStatus.done;
}

function withdraw(session: Session, id: string, given: ContextOptions): ExitStatus {
  const data = dataOf(given);
  const changed = withdrawAcceptance(data, allChecks, id);
  rememberAcceptance(data, id, null);
  session.result({ withdrawn: id, changed }, () =>
    changed ? `${id} is not accepted any more\n` : `${id} was not accepted\n`,
  );
  return ExitStatus.done;
}

/** Whoever has typed it, also behind sudo. */
function userName(session: Session): string {
  const behind = session.io.env['SUDO_USER'] ?? '';
  if (behind !== '') return behind;
  try {
    return os.userInfo().username;
  } catch {
    return `uid ${process.getuid?.() ?? -1}`; // it has no name on this host
  }
}

function progress(session: Session, id: string): void {
  if (session.io.terminal && !session.json) session.io.stderr.write(`\r\x1b[K${id} …`);
}

function terminalColumns({ io: { stdout } }: Session): number | null {
  return 'columns' in stdout && typeof stdout.columns === 'number' ? stdout.columns : null;
}

function clearProgress(session: Session): void {
  if (session.io.terminal && !session.json) session.io.stderr.write('\r\x1b[K');
}
