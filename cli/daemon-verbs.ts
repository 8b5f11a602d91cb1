// The verbs that run a daemon in the foreground: one line with "ready" on stdout, logs on stderr.
import type { Command } from 'commander';
import { collect, type Run } from './run-verb.ts';

const dataFlag = ['--data <dir>', 'where it keeps who it is; needed without --config'] as const;
const configFlag = ['--config <file>', 'the configuration file'] as const;
const enrolFlags = [
  ['--config-server <host:port>', 'the configuration server to report to'],
  ['--passphrase-file <file>', 'what `homeward passphrase show` prints there; for the first start'],
] as const;

export function addDaemonVerbs(program: Command, run: Run): void {
  program
    .command('master-target')
    .description('run the master target in the foreground; without a configuration server it runs alone')
    .option(...dataFlag)
    .option('--retention <dir>', 'the retention volume, where history lives (default: below --data)')
    .option('--replicas <dir>', 'where replicas go (default: below --data)')
    .option('--name <name>', 'what this host is called (default: its host name)')
    .option(...enrolFlags[0])
    .option(...enrolFlags[1])
    .option(...configFlag)
    .action(run(async () => (await import('./commands/master-target.ts')).masterTarget));
  program
    .command('config-server')
    .description('run the configuration server in the foreground: who is who, and who is assigned to whom')
    .option(...dataFlag)
    .option('--listen <host:port>', 'where it listens (default: 0.0.0.0:443 where it may, else 8443)')
    .option(...configFlag)
    .action(run(async () => (await import('./commands/config-server.ts')).configServer));
  program
    .command('process-server')
    .description('run a process server in the foreground: it takes the writes of many sources')
    .option(...dataFlag)
    .option('--listen <host:port>', 'where it listens (default: 0.0.0.0:9443)')
    .option(...enrolFlags[0])
    .option(...enrolFlags[1])
    .option('--advertise <host:port>', 'where others reach it; may be repeated, best first', collect)
    .option('--spool-size <size>', 'the most that it keeps')
    .option('--batch-resync <n>', 'how many machines may sync at a time')
    .option(...configFlag)
    .action(run(async () => (await import('./commands/process-server.ts')).processServer));
  addMobility(program, run);
  program
    .command('all-in-one')
    .description('configuration server, process server and master target on this host, to start with')
    .option(...dataFlag)
    .option('--listen <host:port>', 'where the configuration server listens')
    .option('--process-server-listen <host:port>', 'where the process server listens')
    .option('--batch-resync <n>', 'how many machines may sync at a time')
    .option(...configFlag)
    .action(run(async () => (await import('./commands/all-in-one.ts')).allInOne));
  const config = program.command('config').description('the configuration file');
  config
    .command('service')
    .description('show or write what systemd has to know of the places that the file names')
    .option(...configFlag)
    .option('--write', 'write it beside the unit of the role, and tell systemd')
    .option('--units <dir>', 'where units lie (default: /etc/systemd/system)')
    .action(run(async () => (await import('./commands/config-service.ts')).configService));
  config
    .command('check')
    .description('check the configuration file before a daemon starts with it')
    .option(...configFlag)
    .action(run(async () => (await import('./commands/config-check.ts')).configCheck));
}

function addMobility(program: Command, run: Run): void {
  program
    .command('mobility')
    .description('run the mobility service of one machine in the foreground: its writes go out from here')
    .argument('[NAME=PATH...]', 'further disks')
    .option(...dataFlag)
    .option('--machine <name>', 'what the machine is called; needed unless --config says it')
    .option('--disk <NAME=PATH>', 'a file or device served over NBD, every write of it; repeated', collect)
    .option('--scan <NAME=PATH>', 'a file or device that is read again and again; may be repeated', collect)
    .option('--every <time>', 'how often it is scanned, for example 15m')
    .option('--before <cmd>', 'run before each scan, for example to make a snapshot')
    .option('--after <cmd>', 'run after each scan, whatever came of it')
    .option('--listen <addr>', 'where the disks are served: unix:PATH or tcp:HOST:PORT')
    .option(...enrolFlags[0])
    .option(...enrolFlags[1])
    .option('--custom-script <file>', 'called with --pre and --post around an application-consistent tag')
    .option(...configFlag)
    .action(run(async () => (await import('./commands/mobility.ts')).mobility));
}
