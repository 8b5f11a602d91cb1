// The commands of `homeward`, and hostconfigcli, as data, from the programs that parse them: man pages and
// completions say no more and no less than they take.
import type { Command } from 'commander';
import { hostIo } from '../../cli/io.ts';
import { createProgram } from '../../cli/program.ts';
import { ExitStatus } from '../../core/errors.ts';
import { hostconfigCommand } from '../../hostconfig-tui/flags.ts';

export interface OperandSpec {
  /** As in `<M>` without the brackets. */
  name: string;
  required: boolean;
  variadic: boolean;
  description: string;
}

export interface OptionSpec {
  /** As shown: `-V, --version` or `--at <when>`. */
  flags: string;
  long: string;
  short: string | null;
  /** Lower case, such as `when`; null for a switch. */
  value: string | null;
  description: string;
}

export interface CommandSpec {
  /** Words after `homeward`, empty for itself. */
  words: readonly string[];
  description: string;
  /** What follows the words, as `--help` has it. */
  usage: string;
  operands: OperandSpec[];
  options: OptionSpec[];
  /** Text below the help, for people. */
  after: string;
  commands: CommandSpec[];
}

export function commandSpec(): CommandSpec {
  return describe(createProgram(hostIo(), { status: ExitStatus.done }), []);
}

export const hostconfigSpec = (): CommandSpec => describe(hostconfigCommand(), []);

/** It and all below it, parents first. */
export function everyCommand(spec: CommandSpec): CommandSpec[] {
  return [spec, ...spec.commands.flatMap(everyCommand)];
}

function describe(command: Command, words: readonly string[]): CommandSpec {
  const help = command.createHelp();
  const subcommands = help
    .visibleCommands(command)
    .filter((sub) => sub.name() !== 'help' || words.length === 0);
  return {
    words,
    description: command.description(),
    usage: command.usage().replace(/^\[options\] ?/, ''),
    operands: command.registeredArguments.map((argument) => ({
      name: argument.name().replace(/\.\.\.$/, ''),
      required: argument.required,
      variadic: argument.variadic,
      description: argument.description,
    })),
    options: help
      .visibleOptions(command)
      .filter(({ long }) => long !== '--help')
      .map((option) => ({
        flags: option.flags,
        long: option.long ?? '',
        short: option.short ?? null,
        value: /<([^>]+)>/.exec(option.flags)?.[1] ?? null,
        description: option.description,
      })),
    after: textAfterHelp(command),
    commands: subcommands.map((sub) => describe(sub, [...words, sub.name()])),
  };
}

/** Commander keeps it as a listener: only help that is printed has it. */
function textAfterHelp(command: Command): string {
  let printed = '';
  command.configureOutput({ writeOut: (text) => void (printed += text) });
  command.outputHelp();
  return printed.slice(command.helpInformation().length).trim();
}
