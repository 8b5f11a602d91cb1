// The `homeward` command: runs one command line and ends the process with its status.
import { awaitThreads } from '../core/end-thread.ts';
import { ExitStatus, toHomewardError } from '../core/errors.ts';
import { hostIo } from './io.ts';
import { run } from './run.ts';
import { writeError } from './session.ts';

const io = hostIo();
const args = process.argv.slice(2);

// Nobody reads any more (`homeward status | head -1`): that is no fault, and there is nobody to tell.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(ExitStatus.done);
  throw error;
});

process.on('exit', awaitThreads);

process.on('uncaughtException', (error) => {
  writeError(io, args.includes('--json'), toHomewardError(error));
  process.stderr.write(`${error.stack}\n`);
  process.exit(ExitStatus.bug);
});

process.exit(await run(args, io));
