// Every verb of `homeward` with its operands and options; what a verb does is loaded when it is asked for.
import { Command } from 'commander';
import { ExitStatus, HomewardError } from '../core/errors.ts';
import { addCheckVerb } from './check-verb.ts';
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
    .helpCommand(false);
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
  addRescueVerb(program, run);
  addCheckVerb(program, run);
  addLaterVerbs(program);
  addHelpVerb(program);
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

/** Commander's own takes one word, and `points lock` is two. */
function addHelpVerb(program: Command): void {
  program
    .command('help')
    .argument('[COMMAND...]', 'the words of the command')
    .description('show how a command is used')
    .action((words: string[]) => words.reduce(subcommand, program).help());
}

function subcommand(command: Command, word: string): Command {
  const found = command.commands.find((sub) => sub.name() === word || sub.aliases().includes(word));
  if (found !== undefined) return found;
  throw new HomewardError('usage', `${command.name()} has no command ${word}`);
}

const laterVerbs = ['plan', 'size', 'support-bundle'];

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
    .command('metrics')
    .description('the same as metrics, in the text format of Prometheus')
    .option('--write <file>', 'into a file, for a collector that reads files')
    .action(run(async () => (await import('./commands/metrics.ts')).metrics));
  addPointsVerbs(program, run);
  program
    .command('tag')
    .argument('<M>', 'the machine')
    .description('name the present moment; durable when the command returns')
    .option('--name <name>', 'the name of the moment; needed')
    .action(run(async () => (await import('./commands/tag.ts')).tag));
}

function addPointsVerbs(program: Command, run: Run): void {
  const points = program
    .command('points')
    .usage('M [--rates] | lock … | unlock …')
    .argument('[M]', 'the machine; one called "lock" or "unlock" is named by its id here')
    .description('the moments that a machine can be brought back to')
    .option('--rates', 'also how much was written in each of the last minutes')
    .enablePositionalOptions()
    .action(run(async () => (await import('./commands/points.ts')).points));
  points
    .command('lock')
    .argument('<M>', 'the machine')
    .description('keep a point until a date, which no operator brings forward through Homeward')
    .configureHelp({ showGlobalOptions: false })
    .option(...atFlag)
    .option('--until <time>', 'a time, or how long from now, for example 90d; needed')
    .option('--name <name>', 'why it is kept, in a word')
    .addHelpText('after', lockHelp)
    .action(run(async () => (await import('./commands/points.ts')).pointsLock));
  points
    .command('unlock')
    .argument('<M>', 'the machine')
    .description('take back a lock whose date has passed; before that it is refused')
    .configureHelp({ showGlobalOptions: false })
    .option(...atFlag)
    .addHelpText('after', lockHelp)
    .action(run(async () => (await import('./commands/points.ts')).pointsUnlock));
  program
    .command('retention')
    .argument('<M>', 'the machine')
    .description('show how the history of a machine is kept, or set it; `default` takes a value back')
    .option('--window <time>', 'how far back every single write is a point, for example 24h or 15d')
    .option('--keep <rules>', 'what stays of older history: hourly=7d,daily=4w,weekly=6m,tags=4w, or none')
    .option('--max-size <size>', 'the most that all of its history takes; 0 is no bound')
    .option('--floor <time>', 'what stays when the volume is full and others have more')
    .action(run(async () => (await import('./commands/retention.ts')).retention));
}

const lockHelp = `
Locking the point again can only move the date further away. Root on the master target's host can still delete
files: docs/retention.md says how to put the retention volume on storage that is written once.
`;

function addViewVerbs(program: Command, run: Run): void {
  // Not required for commander: it would ask `view close` for the machine and the options of `view`, too.
  const view = program
    .command('view')
    .usage(
      'M --at WHEN (--listen ADDR [--writable [--scratch SIZE]] [--tls] | --mount DIR) [--for TIME]' +
        ' | close …',
    )
    .argument('[M]', 'the machine; one called "close" is named by its id here')
    .description('serve the disks as of a moment over NBD, without copying')
    .option(...atFlag)
    .option('--listen <addr>', 'unix:PATH or tcp:HOST:PORT')
    .option('--writable', 'take writes into a scratch that goes with the view')
    .option('--scratch <size>', 'the most that is kept of what is written (default: 16G)')
    .option('--tls', 'over TCP with certificates of our own; says how to reach it')
    .option('--for <time>', 'close by itself after this long, for example 24h')
    .option('--mount <dir>', 'show the files there, read-only, until Ctrl-C; needs root and nbdfuse')
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
    .option('--to <target>', 'raw:DIR, qcow2:DIR, vmdk:DIR, block:NAME=DEVICE or in-place', collect)
    .option('--plan', 'only show what would be written where')
    .option('--fresh', 'give up what an interrupted recovery to the same place has written, and begin anew')
    .option('--verify', 'read back what was written and compare it; exit status 1 if anything differs')
    .option('--allow-damaged', 'write zeros where content is damaged or unknown, and list those places')
    .option('--yes', 'do not ask before devices are overwritten')
    .option('--overwrite-disk <wwid>', 'this device may be overwritten in spite of what is on it', collect)
    .action(run(async () => (await import('./commands/recover.ts')).recover));
  program
    .command('unpin')
    .argument('<M>', 'the machine')
    .description('let the replica follow again, after a recovery in place')
    .action(run(async () => (await import('./commands/unpin.ts')).unpin));
  program
    .command('hand-over')
    .argument('<M>', 'the machine, pinned where it is to go on by a recovery in place, or with --at')
    .description('run a machine here from that point on, or give its replicas away; its source is shut out')
    .option('--at <when>', 'with --run: go on from this point, pinned or not, also one that is kept thinned')
    .option('--run <addr>', 'serve its disks for writing on unix:PATH or tcp:HOST:PORT')
    .option('--release <name>', 'they belong to NAME from then on, and its history here ends')
    .option('--plan', 'only show what would be done, and what would be given up')
    .option('--source-is-off', 'although its source was heard of just now')
    .option('--allow-damaged', 'go on with zeros where content is damaged or unknown')
    .option('--yes', 'do not ask')
    .action(run(async () => (await import('./commands/hand-over.ts')).handOver));
  program
    .command('verify')
    .argument('<M>', 'the machine')
    .description('read the history of a machine and say what is damaged; exit status 1 if anything is')
    .option('--part <n/t>', 'only the n-th of t parts')
    .option('--for <time>', 'stop after this long, for example 1h')
    .action(run(async () => (await import('./commands/verify.ts')).verify));
  program
    .command('resync')
    .argument('<M>', 'the machine')
    .description('have its source send again what is damaged here: `verify` says the command')
    .option('--extent <DISK:START-END>', 'these bytes of a disk; may be repeated', collect)
    .option('--damaged', 'what the last verification found, and what is unknown since')
    .action(run(async () => (await import('./commands/resync.ts')).resync));
}

function addRescueVerb(program: Command, run: Run): void {
  program
    .command('rescue')
    .argument('<DIR>', 'the retention volume; nothing in it is changed')
    .argument('[M]', 'the machine to recover; without one all are listed')
    .argument('[NAME=DEVICE...]', 'further devices of --to block:')
    .description('list and recover the machines of a bare retention volume; no daemon is asked')
    .option('--replicas <dir>', 'where the replicas lie, if they are still there')
    .option('--list', 'only list')
    .option(...atFlag)
    .option('--to <target>', 'raw:DIR, qcow2:DIR, vmdk:DIR or block:NAME=DEVICE', collect)
    .option('--plan', 'only show what would be written where')
    .option('--fresh', 'give up what an interrupted recovery to the same place has written, and begin anew')
    .option('--verify', 'read back what was written and compare it; exit status 1 if anything differs')
    .option('--allow-damaged', 'write zeros where content is damaged or unknown, and list those places')
    .option('--yes', 'do not ask before devices are overwritten')
    .option('--overwrite-disk <wwid>', 'this device may be overwritten in spite of what is on it', collect)
    .action(run(async () => (await import('./commands/rescue.ts')).rescue));
}
