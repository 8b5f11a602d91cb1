// The completion for zsh: the same offers, each with its sentence.
import {
  commandWords,
  machinesFunction,
  offerForOperand,
  offerForOption,
  type Offer,
} from './completion-words.ts';
import type { CommandSpec } from './command-spec.ts';

export function zshCompletion(program: CommandSpec): string {
  const cases = commandWords(program).map((at) => {
    const { line, spec, options } = at;
    const commands = spec.commands.map((sub) => described(sub.words.at(-1) ?? '', sub.description));
    const switches = options.map(({ long, description }) => described(long, description));
    const valued = options
      .filter(({ value }) => value !== null)
      .map((option) => `${option.long} ${quoted(spelled(offerForOption(option)))}`);
    const operands = spec.operands.map(({ name }) => quoted(spelled(offerForOperand(name))));
    return `    '${line}')
      commands=(${commands.join(' ')})
      options=(${switches.join(' ')})
      values=(${valued.join(' ')})
      operands=(${operands.join(' ')}) ;;`;
  });
  return `#compdef homeward
# zsh completion for homeward. Made by scripts/package from the definition of the program.

${machinesFunction}

${driver.replace('@CASES@', () => cases.join('\n'))}`;
}

function spelled(offer: Offer): string {
  return offer.kind === 'words' ? `words ${offer.words.join(' ')}` : offer.kind;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** For _describe: a colon ends the word. */
function described(word: string, description: string): string {
  return quoted(`${word.replaceAll(':', '\\:')}:${description}`);
}

const driver = `_homeward_describe() {
  local -a commands options operands
  local -A values
  case $1 in
@CASES@
  esac
  reply_commands=($commands) reply_options=($options) reply_operands=($operands)
  reply_values=(\${(kv)values})
}

_homeward_offer() {
  case $1 in
    machines) local -a names; names=(\${(f)"$(_homeward_machines $words[1])"}); compadd -a names ;;
    files) _files ;;
    directories) _files -/ ;;
    words\\ *) local -a offered; offered=(\${=1#words }); compadd -S '' -a offered ;;
  esac
}

_homeward() {
  local line='' operands=0 at word
  local -a reply_commands reply_options reply_operands names
  local -A reply_values
  _homeward_describe ''
  for ((at = 2; at < CURRENT; at++)); do
    word=$words[at]
    if [[ $word == -* ]]; then
      [[ -n $reply_values[$word] ]] || continue
      if ((at + 1 == CURRENT)); then _homeward_offer $reply_values[$word]; return; fi
      ((at++))
      continue
    fi
    names=(\${reply_commands%%:*})
    if ((operands == 0)) && [[ $line != help ]] && ((\${names[(Ie)$word]})); then
      line=\${line:+$line }$word
      _homeward_describe $line
    else
      ((operands++))
    fi
  done
  if [[ $words[CURRENT] == -* ]]; then _describe option reply_options; return; fi
  [[ $line == help ]] && _homeward_describe ''
  ((operands == 0 && $#reply_commands)) && _describe command reply_commands
  _homeward_offer \${reply_operands[operands + 1]:-nothing}
}

_homeward "$@"
`;
