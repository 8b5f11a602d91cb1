// `hostconfigcli`: runs one command line, or the screen, and ends the process with its status.
import os from 'node:os';
import path from 'node:path';
import { ExitStatus, HomewardError, toHomewardError } from '../core/errors.ts';
import { printable } from '../core/printable.ts';
import { findConfig, placesOf } from './actions/places.ts';
import { checkWritable, readSettings } from './actions/config-file.ts';
import { chooseRole } from './actions/choose-role.ts';
import { changesAnything, parseFlags, wrong, type Flags } from './flags.ts';
import type { HostConfigScreen } from './screen.ts';
import type { Answer, Order } from './unattended.ts';

const { stdin, stdout, stderr, env } = process;
const endings = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const;

/** Runs `args` (without node and script) to their exit status. Whatever goes wrong is on stderr. */
export async function start(args: readonly string[]): Promise<number> {
  const json = args.includes('--json');
  try {
    const parsed = parseFlags(args);
    if ('text' in parsed) {
      stdout.write(parsed.text);
      return ExitStatus.done;
    }
    const { flags } = parsed;
    const isOrder = flags.show === true || flags.volumes === true || changesAnything(flags);
    return isOrder ? await runOrder(flags) : await runScreen(flags);
  } catch (thrown) {
    return fail(toHomewardError(thrown), json);
  }
}

function findPlaces({ config, control, units, role }: Flags): Pick<Order, 'places' | 'settings'> {
  const root = path.dirname(import.meta.dirname);
  const asked = { config, control, units, cwd: process.cwd(), environment: env, root };
  const file = findConfig(asked);
  const found = readSettings(file);
  const settings = role === undefined ? found : { ...found, role: chooseRole(role, found) };
  return { places: placesOf(asked, file, settings), settings };
}

async function runOrder(flags: Flags): Promise<number> {
  const json = flags.json === true;
  const stopping = new AbortController();
  // Once only: a second Ctrl-C ends the process in the usual way.
  for (const name of endings) process.once(name, () => stopping.abort(name));
  const order: Order = {
    flags,
    ...findPlaces(flags),
    resolve: (file) => path.resolve(file),
    note: (text) => {
      if (!json) stderr.write(text);
    },
    signal: stopping.signal,
  };
  const { document, text } = await answerTo(order);
  stdout.write(json ? `${JSON.stringify(document)}\n` : text);
  return ExitStatus.done;
}

/** What is needed is loaded when it is: nobody waits for the screen who only asks for the settings. */
async function answerTo(order: Order): Promise<Answer> {
  const { carryOut, show, showVolumes } = await import('./unattended.ts');
  if (order.flags.show === true) return show(order);
  if (order.flags.volumes === true) return showVolumes(order);
  checkWritable(order.places.config);
  return carryOut(order);
}

/**
 * However it ends, the terminal is as it was before: by a key, a signal, a line that was cut, a fault of
 * ours.
 */
async function runScreen(flags: Flags): Promise<number> {
  if (!stdin.isTTY || !stdout.isTTY) {
    throw new HomewardError('usage', 'this is no terminal, so there is no screen', {
      hint: 'Give flags: hostconfigcli --address A --passphrase-file F; `hostconfigcli --help` lists them.',
    });
  }
  if (flags.json === true) throw wrong('--json goes with other flags, not with the screen');
  const { places } = findPlaces(flags);
  checkWritable(places.config);
  const ended = Promise.withResolvers<number>();
  const name = flags.name ?? null;
  const suggested = { address: flags.suggestAddress ?? null, port: flags.suggestPort ?? null };
  // Before the screen: blessed leaves signals and faults alone when somebody else takes them.
  for (const signal of endings) process.on(signal, () => ended.resolve(128 + os.constants.signals[signal]));
  let screen: HostConfigScreen | null = null;
  process.on('exit', () => screen?.close());
  process.on('uncaughtException', (error) => {
    screen?.close();
    stderr.write(`${error.stack}\n`);
    process.exit(fail(toHomewardError(error), false));
  });
  // A line that was cut says so here, too; SIGHUP or the end of stdin ends the program.
  stdout.on('error', () => ended.resolve(128 + os.constants.signals.SIGHUP));
  stdin.on('error', () => ended.resolve(128 + os.constants.signals.SIGHUP));
  stdin.on('end', () => ended.resolve(128 + os.constants.signals.SIGHUP));
  const { HostConfigScreen: Opened } = await import('./screen.ts');
  screen = await Opened.open({ places, name, suggested, input: stdin, output: stdout, environment: env });
  const status = await Promise.race([screen.ended, ended.promise]);
  screen.close();
  return status;
}

function fail(error: HomewardError, json: boolean): number {
  const text = json
    ? `${JSON.stringify({ error })}\n`
    : `hostconfigcli: ${printable(error.message)} (${error.code})\n${printable(error.hint)}\n`;
  stderr.write(text);
  return error.exit;
}

if (import.meta.main) process.exit(await start(process.argv.slice(2)));
