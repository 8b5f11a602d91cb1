// What can stand for a value or an operand, as the shells' completions offer it.
import { everyCommand, type CommandSpec, type OptionSpec } from './command-spec.ts';

/** `words` are offered as they are; the others a shell has its own way to list. */
export type Offer =
  | { kind: 'machines' | 'files' | 'directories' | 'nothing' }
  | { kind: 'words'; words: readonly string[] };

const nothing: Offer = { kind: 'nothing' };

/** By what stands between the angle brackets of an option. */
const values: Record<string, Offer> = {
  addr: { kind: 'words', words: ['unix:', 'tcp:'] },
  dir: { kind: 'directories' },
  file: { kind: 'files' },
  path: { kind: 'files' },
  target: { kind: 'words', words: ['raw:', 'qcow2:', 'vmdk:', 'block:', 'in-place'] },
  when: { kind: 'words', words: ['latest', 'latest-tag', 'latest-app', 'tag:', 'lsn:', '-15m'] },
};

export function offerForOption({ value, long }: OptionSpec): Offer {
  if (value === null) return nothing;
  if (long === '--custom-script') return { kind: 'files' };
  return values[value] ?? nothing;
}

/** By what an operand is called. */
export function offerForOperand(name: string): Offer {
  if (name === 'M' || name === 'ID|M') return { kind: 'machines' };
  if (name === 'DIR') return { kind: 'directories' };
  return nothing;
}

export interface CommandWords {
  /** `points lock`, or empty for homeward itself. */
  line: string;
  spec: CommandSpec;
  /** Those of homeward itself are understood by every command. */
  options: OptionSpec[];
}

/** Every command with all the options that it takes; `help` completes commands. */
export function commandWords(program: CommandSpec): CommandWords[] {
  return everyCommand(program).map((spec) => ({
    line: spec.words.join(' '),
    spec,
    options: spec === program ? spec.options : [...spec.options, ...program.options.filter(isForAll)],
  }));
}

function isForAll({ long }: OptionSpec): boolean {
  return long !== '--version';
}

/**
 * For sh: the names of machines, one a line, and nothing at all when nobody answers in time. The control
 * socket knows them on a master target, the configuration server everywhere else.
 */
export const machinesFunction = `_homeward_machines() {
  command timeout 3 "\${1:-homeward}" status --json 2>/dev/null </dev/null |
    command grep -o '"id":"[^"]*","name":"[^"]*"' | command sed 's/.*"name":"//; s/"$//'
}`;
