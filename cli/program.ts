// Every verb of `homeward` with its operands and options; what a verb does is loaded when it is asked for.
import { Command } from 'commander';
import { ExitStatus, HomewardError } from '../core/errors.ts';
import { addDaemonVerbs } from './daemon-verbs.ts';
import type { Io } from './io.ts';
import { collect, type Run } from './run-verb.ts';
import { createSession, type Verb } from './session.ts';
import { addSiteVerbs } from './site-verbs.ts';
import { readVersion } from '../core/version.ts';

export interface Outcome {
  status: ExitStatus;
}

interface GlobalOptions {
  json?: boolean;
  control?: string;
  operator?: string;
}

/** A command line that, parsed, runs its verb and leaves the exit status in `outcome`. */
export function createProgram(io: Io, outcome: Outcome): Command {
  const program = new Command('homeward')
    .description('Brings machines home: every write journalled, any moment recoverable.')
    .option('--json', 'answer in JSON: one document, or lines ending in {"result":…} for long work')
    .option(
      '--control <path>',
      'the socket of the daemon to ask (or HOMEWARD_CONTROL; else /run/homeward/control.sock)',
    )
    .option(
      '--operator <file>',
      'the file of the configuration server to ask (or HOMEWARD_OPERATOR; else that in ~/.config/homeward)',
    )
    .version(readVersion(), '-V, --version', 'show the version')
    .configureHelp({ showGlobalOptions: true })
    .addHelpText('after', whenHelp)
    .showSuggestionAfterError(true)
    .exitOverride()
    .helpCommand('help [command]', 'show how a command is used');
  const run: Run = <O>(load: () => Promise<Verb<O>>) =>
    async function (this: Command) {
      const options = this.optsWithGlobals<O & GlobalOptions>();
      const verb = await load();
      const { json = false, control, operator } = options;
      const status = await verb(createSession(io, json, { control, operator }), this.args, options);
      outcome.status = status ?? ExitStatus.done;
    };
  addDaemonVerbs(program, run);
  addSiteVerbs(program, run);
  addIngestVerbs(program, run);
  addPointVerbs(program, run);
  addViewVerbs(program, run);
  addLongVerbs(program, run);
  addLaterVerbs(program);
  return program;
}

const whenHelp = `
M is a machine's name or id. SIZE is bytes, or a number with K, M, G or T. WHEN is one of
  latest          the newest durable moment       latest-tag      the newest tag
  latest-app      the newest application tag
  tag:NAME        a tag                           lsn:N           after the N-th write
  -15m            that long ago                   a time          2026-01-31T14:05:00Z
A time without an offset is in the zone of the shell where it is typed.
Exit status: 0 done, 1 something was found, 2 usage, 3 no such thing, 4 that moment is not available,
5 conflict, 6 refused for safety, 7 not reachable, 8 no space, 70 a fault of ours.
`;

const laterVerbs = ['check', 'plan', 'size', 'rescue', 'support-bundle', 'retention'];

/** Verbs that people may have read of: said to be missing, not unknown, and not listed by `help`. */
function addLaterVerbs(program: Command): void {
  for (const name of laterVerbs) {
    program
      .command(name, { hidden: true })
      .allowUnknownOption()
      .allowExcessArguments()
      .action(() => {
        throw new HomewardError('not-in-this-version', `\`homeward ${name}\` is not in this version`);
      });
  }
}

const atFlag = [
  '--at <when>',
  'the moment: latest, latest-tag, latest-app, tag:NAME, lsn:N, -15m or a time',
] as const;

function addIngestVerbs(program: Command, run: Run): void {
  const ingest = program.command('ingest').description('where writers bring their writes, over NBD');
  ingest
    .command('open')
    .argument('<M>', 'the machine')
    .argument('[NAME=SIZE[@DEVICE]...]', 'further disks')
    .description(
      'take writes for a machine, now and after every restart; the same call again changes nothing',
    )
    .option(
      '--disk <NAME=SIZE[@DEVICE]>',
      'a disk, and the device its replica lies on; may be repeated',
      collect,
    )
    .option('--listen <addr>', 'unix:PATH or tcp:HOST:PORT')
    .option('--seeding', 'what comes first is a copy of the whole disk: no points until `ingest seeded`')
    .action(run(async () => (await import('./commands/ingest.ts')).ingestOpen));
  ingest
    .command('seeded')
    .argument('<M>', 'the machine')
    .description('the first copy has ended: the first point is here')
    .action(run(async () => (await import('./commands/ingest.ts')).ingestSeeded));
  ingest
    .command('close')
    .argument('<M>', 'the machine')
    .description('take no more writes; points stay')
    .action(run(async () => (await import('./commands/ingest.ts')).ingestClose));
}

function addPointVerbs(program: Command, run: Run): void {
  program
    .command('status')
    .description('every machine: its state, how current it is, how far back it reaches')
    .option('--watch', 'again every two seconds, until Ctrl-C')
    .action(run(async () => (await import('./commands/status.ts')).status));
  program
    .command('points')
    .argument('<M>', 'the machine')
    .description('the moments that a machine can be brought back to')
    .allowUnknownOption() // of `points lock` and `unlock`, which the verb refuses by name
    .allowExcessArguments()
    .action(run(async () => (await import('./commands/points.ts')).points));
  program
    .command('tag')
    .argument('<M>', 'the machine')
    .description('name the present moment; durable when the command returns')
    .option('--name <name>', 'the name of the moment; needed')
    .action(run(async () => (await import('./commands/tag.ts')).tag));
}

function addViewVerbs(program: Command, run: Run): void {
  // Not required for commander: it would ask `view close` for the machine and the options of `view`, too.
  const view = program
    .command('view')
    .usage('M --at WHEN --listen ADDR [--writable] [--for TIME] | close …')
    .argument('[M]', 'the machine; one called "close" is named by its id here')
    .description('serve the disks as of a moment over NBD, without copying')
    .option(...atFlag)
    .option('--listen <addr>', 'unix:PATH or tcp:HOST:PORT')
    .option('--writable', 'take writes into a scratch that goes with the view')
    .option('--for <time>', 'close by itself after this long, for example 24h')
    .enablePositionalOptions()
    .action(run(async () => (await import('./commands/view.ts')).view));
  view
    .command('close')
    .argument('<ID|M>', 'the view, or with --at or --all the machine')
    .description('stop serving views')
    .configureHelp({ showGlobalOptions: false })
    .option(...atFlag)
    .option('--all', 'every view of the machine')
    .action(run(async () => (await import('./commands/view.ts')).viewClose));
  program
    .command('views')
    .description('the views that are open')
    .action(run(async () => (await import('./commands/view.ts')).views));
}

function addLongVerbs(program: Command, run: Run): void {
  program
    .command('recover')
    .argument('<M>', 'the machine')
    .argument('[NAME=DEVICE...]', 'further devices of --to block:')
    .description(
      'write the disks as of a moment into files or onto devices; what exists is never overwritten',
    )
    .option(...atFlag)
    .option('--to <target>', 'raw:DIR, qcow2:DIR, vmdk:DIR or block:NAME=DEVICE', collect)
    .option('--plan', 'only show what would be written where')
    .option('--yes', 'do not ask before devices are overwritten')
    .option('--overwrite-disk <wwid>', 'this device may be overwritten in spite of what is on it', collect)
    .action(run(async () => (await import('./commands/recover.ts')).recover));
  program
    .command('verify')
    .argument('<M>', 'the machine')
    .description('read the history of a machine and say what is damaged; exit status 1 if anything is')
    .option('--part <n/t>', 'only the n-th of t parts')
    .option('--for <time>', 'stop after this long, for example 1h')
    .action(run(async () => (await import('./commands/verify.ts')).verify));
}
