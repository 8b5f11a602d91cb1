// The verb that looks at this host, and its options.
import type { Command } from 'commander';
import { collect, type Run } from './run-verb.ts';

export function addCheckVerb(program: Command, run: Run): void {
  program
    .command('check')
    .description('check this host: what is wrong with it for its role, and what to do; needs no daemon')
    .option('--fix', 'put right what can be put right without risk, and look again')
    .option('--hard', 'only what keeps the service from starting, which runs this first')
    .option('--offline', 'fetch nothing and ask no server')
    .option('--accept <ids>', 'a finding that may stay, with --because; several with commas', collect)
    .option('--because <text>', 'why: shown in status, and at the configuration server')
    .option('--withdraw <id>', 'take back what --accept has said')
    .option('--config <file>', 'the configuration file (default: that of the installation)')
    .option('--data <dir>', 'where the daemon keeps who it is (default: as configured)')
    .option('--retention <dir>', 'the retention volume (default: as configured)')
    .option('--replicas <dir>', 'where replicas go (default: as configured)')
    .addHelpText(
      'after',
      '\nExit status: 0 nothing has failed, 1 something has; docs/checks.md has every check.\n',
    )
    .action(run(async () => (await import('./commands/check.ts')).check));
}
