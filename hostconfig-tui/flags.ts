// The command line of hostconfigcli: without flags the screen, with them the same things unattended.
import { Command, CommanderError } from 'commander';
import { HomewardError } from '../core/errors.ts';
import { LogLevel } from '../core/log.ts';
import { daemonOfRole } from '../core/service-drop-in.ts';
import { readVersion } from '../core/version.ts';

export interface Flags {
  config?: string;
  control?: string;
  units?: string;
  suggestAddress?: string;
  suggestPort?: string;
  json?: boolean;
  show?: boolean;
  volumes?: boolean;
  role?: string;
  address?: string;
  port?: string;
  https?: string;
  passphraseFile?: string;
  name?: string;
  wait?: string;
  saveAnyway?: boolean;
  runAlone?: boolean;
  retention?: string;
  replicas?: string;
  cache?: string;
  natHost?: string;
  natIp?: string;
  logLevel?: string;
  logFile?: string;
}

/** Flags, or text to be printed and nothing else: help, the version. Throws 'usage'. */
export function parseFlags(args: readonly string[]): { flags: Flags } | { text: string } {
  let text = '';
  const program = hostconfigCommand();
  const write = (piece: string): void => {
    text += piece;
  };
  program.configureOutput({ writeOut: write, writeErr: () => undefined, outputError: () => undefined });
  try {
    program.parse(args, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return { text };
    const message = error.message.replace(/^error: /, '').replaceAll(/\s*\n\s*/g, ' ');
    throw wrong(message);
  }
  const flags = program.opts<Flags>();
  checkTogether(flags);
  return { flags };
}

/** What the program takes, and says of it. */
export function hostconfigCommand(): Command {
  return new Command('hostconfigcli')
    .description(
      'The Host Config Interface: which configuration server this host belongs to, where it keeps things.\n' +
        'Without flags it is a screen; with them it does the same unattended.',
    )
    .option('--config <file>', 'the configuration file (or HOMEWARD_CONFIG; else that of the installation)')
    .option('--control <path>', 'the socket of the daemon of this host (or HOMEWARD_CONTROL)')
    .option('--json', 'answer in JSON, one document on stdout; failures on stderr')
    .option('--show', 'print the configuration, never secrets')
    .option('--volumes', 'list the mounted volumes, and why one cannot be a retention volume')
    .option(
      '--suggest-address <name>',
      'what the screen offers as address; nothing is saved before it worked',
    )
    .option('--suggest-port <number>', 'what the screen offers as port')
    .option('--role <role>', `what this host is for, before it has registered: ${roles.join(', ')}`)
    .option('--address <name>', 'name or IP address of the configuration server')
    .option('--port <number>', 'its port; 443 when nothing else is set')
    .option('--https <yes|no>', 'yes; there is nothing else')
    .option('--passphrase-file <file>', 'a file with what `homeward passphrase show` prints; not kept')
    .option('--name <name>', 'what people call this host; its host name when left out')
    .option('--wait <time>', 'how long to wait for an operator to approve this host, for example 15m, or 0')
    .option('--save-anyway', 'save although the server or a place cannot be used')
    .option('--run-alone', 'have no configuration server')
    .option('--retention <dir>', 'the retention volume; empty for the usual place')
    .option('--replicas <dir>', 'the datastore for replicas; empty for the usual place')
    .option('--cache <dir>', 'the cache directory; empty for none')
    .option('--nat-host <name>', 'the fixed NAT host name; empty for none')
    .option('--nat-ip <address>', 'the fixed NAT IP address; empty for none')
    .option(`--log-level <level>`, Object.keys(LogLevel).join(', '))
    .option('--log-file <file>', 'a file for the log beside the journal; empty for none')
    .addOption(new Command().createOption('--units <dir>', 'where drop-ins of units lie').hideHelp())
    .version(readVersion(), '-V, --version', 'show the version')
    .helpOption('-h, --help', 'show this')
    .allowExcessArguments(false)
    .addHelpText('after', exitHelp)
    .exitOverride();
}

const roles = Object.keys(daemonOfRole);

const exitHelp = `
Exit status: 0 done, 1 interrupted, 2 usage or a passphrase that is too short, 3 no such file, 5 host id
taken, 6 refused (passphrase, certificate, clock, version, approval, a file that is not ours), 7 server not
reachable, 8 no space, 70 a fault of ours; 128 and the number of the signal that ended the screen.
`;

const serverFlags = ['address', 'port', 'https', 'passphraseFile'] as const;

function checkTogether(flags: Flags): void {
  const { runAlone = false, show = false, volumes = false } = flags;
  const server = serverFlags.filter((name) => flags[name] !== undefined);
  if (runAlone && server.length > 0) {
    throw wrong(`--run-alone and ${spelled(server[0] ?? '')} contradict each other`);
  }
  if ((show || volumes) && (changesAnything(flags) || (show && volumes))) {
    throw wrong(`${show ? '--show' : '--volumes'} only reads: give it without other flags`);
  }
  if (flags.wait !== undefined && server.length === 0) {
    throw wrong('--wait is for the approval by a configuration server: it goes with --address');
  }
  const { saveAnyway, ...others } = flags;
  if (saveAnyway === true && !changesAnything(others)) {
    throw wrong('--save-anyway has nothing to save: it goes with other flags');
  }
}

/** A command line that cannot be meant. */
export const wrong = (message: string): HomewardError =>
  new HomewardError('usage', message, { hint: 'See `hostconfigcli --help` for the flags.' });

const spelled = (name: string): string =>
  `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

const ordersNothing: readonly (keyof Flags)[] = [
  ...(['config', 'control', 'units', 'json', 'show', 'volumes', 'name'] as const),
  ...(['suggestAddress', 'suggestPort'] as const),
];

/** Whether these flags are an order, so that no screen is opened. */
export function changesAnything(flags: Flags): boolean {
  return Object.keys(flags).some((name) => !ordersNothing.includes(name as keyof Flags));
}
