// The completion for fish: commands, options and machines.
import {
  commandWords,
  machinesFunction,
  offerForOperand,
  offerForOption,
  type Offer,
} from './completion-words.ts';
import type { CommandSpec, OptionSpec } from './command-spec.ts';

export function fishCompletion(program: CommandSpec): string {
  const lines = commandWords(program).flatMap(({ spec, options }) => {
    const own = spec === program ? options : spec.options;
    const here = spec === program ? '' : ` -n '${condition(spec)}'`;
    const top =
      spec === program
        ? ` -n __fish_use_subcommand`
        : ` -n '${condition(spec)}; and __fish_is_nth_token ${spec.words.length + 1}'`;
    const machines = spec.operands.some(({ name }) => offerForOperand(name).kind === 'machines');
    return [
      ...spec.commands.map(
        (sub) => `complete -c homeward${top} -a ${sub.words.at(-1) ?? ''} -d ${quoted(sub.description)}`,
      ),
      ...own.map((option) => `complete -c homeward${here} ${optionLine(option)}`),
      ...(machines ? [`complete -c homeward${top} -a '(_homeward_machines)'`] : []),
    ];
  });
  return `# fish completion for homeward. Made by scripts/package from the definition of the program.
function _homeward_machines
  sh -c ${quoted(`${machinesFunction}\n_homeward_machines`)}
end
complete -c homeward -f
${lines.join('\n')}
`;
}

function condition({ words }: CommandSpec): string {
  return words.map((word) => `__fish_seen_subcommand_from ${word}`).join('; and ');
}

function optionLine(option: OptionSpec): string {
  const { long, short, value, description } = option;
  const names = `${short === null ? '' : `-s ${short.slice(1)} `}-l ${long.slice(2)}`;
  const takes = value === null ? '' : ` ${offered(offerForOption(option))}`;
  return `${names}${takes} -d ${quoted(description)}`;
}

function offered(offer: Offer): string {
  if (offer.kind === 'words') return `-x -a ${quoted(offer.words.join(' '))}`;
  if (offer.kind === 'files') return '-r -F';
  return offer.kind === 'directories' ? `-x -a '(__fish_complete_directories)'` : '-x';
}

function quoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", String.raw`\'`)}'`;
}
