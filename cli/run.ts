// Runs one command line from its arguments to its exit status.
import { CommanderError, type Command } from 'commander';
import { ExitStatus, HomewardError, toHomewardError } from '../core/errors.ts';
import type { Io } from './io.ts';
import { createProgram, type Outcome } from './program.ts';
import { writeError } from './session.ts';

/** Runs `args` (without node and script). Whatever goes wrong is on stderr and in the status, not thrown. */
export async function run(args: readonly string[], io: Io): Promise<ExitStatus> {
  const json = isJson(args);
  const outcome: Outcome = { status: ExitStatus.done };
  let text = '';
  const program = createProgram(io, outcome);
  // Commander would print as it goes; help and complaints go out below, in the form that is asked for.
  forEachCommand(program, (command) => {
    const write = (piece: string): void => {
      text += piece;
    };
    command.configureOutput({ writeOut: write, writeErr: write, outputError: () => undefined });
  });
  try {
    await program.parseAsync(args, { from: 'user' });
    return outcome.status;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) {
      const what = error.code === 'commander.version' ? { version: text.trim() } : { help: text };
      io.stdout.write(json ? JSON.stringify(what) + '\n' : text);
      return ExitStatus.done;
    }
    const failure = error instanceof CommanderError ? usageError(error) : toHomewardError(error);
    writeError(io, json, failure);
    if (failure.code === 'bug' && !json && error instanceof Error) io.stderr.write(`${error.stack}\n`);
    return failure.exit;
  }
}

/** Also when the arguments cannot be parsed, the complaint is to come in the form that was asked for. */
function isJson(args: readonly string[]): boolean {
  const end = args.indexOf('--');
  return (end === -1 ? args : args.slice(0, end)).includes('--json');
}

function usageError(error: CommanderError): HomewardError {
  // `homeward` alone, or a verb with verbs of its own, such as `ingest`.
  if (error.code === 'commander.help') return new HomewardError('usage', 'the command is not complete');
  return new HomewardError('usage', error.message.replace(/^error: /, '').replaceAll(/\s*\n\s*/g, ' '));
}

function forEachCommand(command: Command, visit: (command: Command) => void): void {
  visit(command);
  for (const sub of command.commands) forEachCommand(sub, visit);
}
