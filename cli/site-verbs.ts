// The verbs of a whole site, asked of its configuration server: hosts, machines, protection, events.
import type { Command } from 'commander';
import { collect, type Run } from './run-verb.ts';

export function addSiteVerbs(program: Command, run: Run): void {
  addProtectVerbs(program, run);
  addHostVerbs(program, run);
  program
    .command('machines')
    .description('the machines whose mobility service has registered, and their protection')
    .action(run(async () => (await import('./commands/machines.ts')).machines));
  program
    .command('events')
    .description('what has happened, the newest last')
    .option('--limit <n>', 'so many at the most (default: 100)')
    .option('--after <id>', 'only those above this id')
    .action(run(async () => (await import('./commands/events.ts')).events));
  const passphrase = program.command('passphrase').description('what hosts enrol with');
  passphrase
    .command('show')
    .description('print it, and nothing else')
    .action(run(async () => (await import('./commands/passphrase.ts')).passphraseShow));
  passphrase
    .command('rotate')
    .description('make a new one and print it; hosts that have joined stay')
    .action(run(async () => (await import('./commands/passphrase.ts')).passphraseRotate));
}

function addProtectVerbs(program: Command, run: Run): void {
  program
    .command('protect')
    .argument('<M>', 'the machine')
    .argument('[NAME=PATH...]', 'further seeds')
    .description('protect a machine, or change how; what is left out stays as it is')
    .option('--master-target <host>', 'where its journal goes; may be left out where there is one')
    .option('--process-server <host>', 'where its writes go first; may be left out where there is one')
    .option('--window <time>', 'how far back every write stays recoverable (24h)')
    .option('--consistency-interval <time>', 'how often it is tagged (5m)')
    .option('--seed <NAME=PATH>', 'an old copy of a disk, on the master target; may be repeated', collect)
    .option('--disk <name>', 'only these disks; may be repeated', collect)
    .action(run(async () => (await import('./commands/protect.ts')).protect));
  program
    .command('unprotect')
    .argument('<M>', 'the machine')
    .description('end the protection of a machine; what there is of it stays')
    .action(run(async () => (await import('./commands/protect.ts')).unprotect));
}

function addHostVerbs(program: Command, run: Run): void {
  const hosts = program
    .command('hosts')
    .description('the hosts that have joined, and those that wait for a yes')
    .enablePositionalOptions()
    .action(run(async () => (await import('./commands/hosts.ts')).hosts));
  hosts
    .command('approve')
    .argument('<H>', 'the entry, id or name of a host that waits')
    .description('let a host in')
    .action(run(async () => (await import('./commands/hosts.ts')).hostsApprove));
  hosts
    .command('remove')
    .argument('<H>', 'the entry, id or name of a host')
    .description('shut a host out, or forget one that waits')
    .action(run(async () => (await import('./commands/hosts.ts')).hostsRemove));
}
