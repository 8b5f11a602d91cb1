# shellcheck shell=bash disable=SC2034,SC2154 # shared with the files that it is sourced with
# Questions on the terminal. Each has a flag, so that nothing here is needed by a script. Sourced.

# ask PROMPT DEFAULT: the answer in `answer`. The end of input ends the installer: there is nobody to ask.
ask() {
  printf '%s ' "$1"
  if ! read_line; then
    printf '\n'
    fail "$exit_declined" 'the input ended before the question was answered' \
      'Run it on a terminal, or give the answers as flags: see --help.'
  fi
  [ -n "$answer" ] || answer=$2
  to_log "$1 $answer"
}

# ask_yes QUESTION DEFAULT(y|n): whether the answer is yes.
ask_yes() {
  while true; do
    ask "$1 (y/n) [Default: $2]" "$2"
    case $answer in
      y | Y | yes | Yes | YES) return 0 ;;
      n | N | no | No | NO) return 1 ;;
    esac
    say 'Please answer y or n.'
  done
}

# Wraps what follows to the width of the terminal, indented by WIDTH blanks: say_under WIDTH TEXT.
say_under() {
  local columns=${COLUMNS:-} indent
  [ -n "$columns" ] || columns=$(stty size 2>/dev/null | cut -d' ' -f2)
  case $columns in '' | 0 | *[!0-9]*) columns=80 ;; esac
  [ "$columns" -gt 100 ] && columns=100
  indent=$(printf '%*s' "$1" '')
  fold -s -w "$((columns - $1 > 20 ? columns - $1 : 20))" <<<"$2" |
    while IFS= read -r line; do printf '%s%s\n' "$indent" "${line% }"; done
}
