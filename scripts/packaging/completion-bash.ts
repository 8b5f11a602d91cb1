// The completion for bash, from the command's definition; it needs nothing of the bash-completion package.
import {
  commandWords,
  machinesFunction,
  offerForOperand,
  offerForOption,
  type Offer,
} from './completion-words.ts';
import type { CommandSpec } from './command-spec.ts';

export function bashCompletion(program: CommandSpec): string {
  const commands = commandWords(program);
  const cases = (body: (at: (typeof commands)[number]) => string): string =>
    commands.map((at) => `    '${at.line}') ${body(at)} ;;`).join('\n');
  return `# bash completion for homeward. Made by scripts/package from the definition of the program.

${machinesFunction}

# The commands below a command.
_homeward_commands() {
  case $1 in
${cases(({ spec }) => `echo '${spec.commands.map(({ words }) => words.at(-1)).join(' ')}'`)}
  esac
}

# The options of a command.
_homeward_options() {
  case $1 in
${cases(({ options }) => `echo '${options.map(({ long }) => long).join(' ')} --help'`)}
  esac
}

# What an option of a command takes: nothing printed for a switch.
_homeward_value() {
  case $1\\ $2 in
${commands.flatMap(valueCases).join('\n')}
  esac
}

# What the n-th operand of a command is.
_homeward_operand() {
  case $1\\ $2 in
${commands.flatMap(operandCases).join('\n')}
  esac
}

${driver}`;
}

function valueCases({ line, options }: ReturnType<typeof commandWords>[number]): string[] {
  return options
    .filter(({ value }) => value !== null)
    .map((option) => {
      const names = [option.long, option.short].filter((name) => name !== null);
      const patterns = names.map((name) => `'${line} ${name}'`).join(' | ');
      return `    ${patterns}) echo '${spelled(offerForOption(option))}' ;;`;
    });
}

function operandCases({ line, spec }: ReturnType<typeof commandWords>[number]): string[] {
  return spec.operands.flatMap(({ name, variadic }, index) => {
    const offer = offerForOperand(name);
    if (offer.kind === 'nothing') return [];
    return [`    '${line} '${variadic ? '*' : index}) echo '${spelled(offer)}' ;;`];
  });
}

function spelled(offer: Offer): string {
  return offer.kind === 'words' ? `words ${offer.words.join(' ')}` : offer.kind;
}

/** A word that ends in a colon goes on: no blank after it. */
const driver = `_homeward_offer() {
  local kind=$1 current=$2 found
  case $kind in
    machines)
      found=$(_homeward_machines "\${COMP_WORDS[0]}")
      mapfile -t COMPREPLY < <(compgen -W "$found" -- "$current")
      ;;
    files) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
    directories) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$current") ;;
    words\\ *) mapfile -t COMPREPLY < <(compgen -W "\${kind#words }" -- "$current") ;;
  esac
  case \${COMPREPLY[0]-} in *:) [ \${#COMPREPLY[@]} -eq 1 ] && compopt -o nospace ;; esac
}

_homeward() {
  local current=\${COMP_WORDS[COMP_CWORD]} line='' operands=0 at word kind
  COMPREPLY=()
  for ((at = 1; at < COMP_CWORD; at++)); do
    word=\${COMP_WORDS[at]}
    case $word in
      -*)
        kind=$(_homeward_value "$line" "$word")
        [ -n "$kind" ] || continue
        # Its value is next, with or without a blank for an equals sign.
        [ "\${COMP_WORDS[at + 1]-}" = = ] && at=$((at + 1))
        if ((at + 1 >= COMP_CWORD)); then
          [ "$current" = = ] && current=
          _homeward_offer "$kind" "$current"
          return
        fi
        at=$((at + 1))
        ;;
      *)
        if [[ $operands -eq 0 && " $(_homeward_commands "$line") " == *" $word "* ]]; then
          [ "$line" = help ] || line=\${line:+$line }$word
        else
          operands=$((operands + 1))
        fi
        ;;
    esac
  done
  if [[ $current == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$(_homeward_options "$line")" -- "$current")
    return
  fi
  if [ "$line" = help ]; then line=; fi
  _homeward_offer "$(_homeward_operand "$line" "$operands")" "$current"
  if [ "$operands" -eq 0 ]; then
    local found
    mapfile -t found < <(compgen -W "$(_homeward_commands "$line")" -- "$current")
    COMPREPLY+=("\${found[@]}")
  fi
}

complete -F _homeward homeward
`;
