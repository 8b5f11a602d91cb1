# shellcheck shell=bash
# Sourced.

# read_line: a line of standard input in `answer`, as clean_answer has it. The end of the input is status 1.
# A signal that comes between a question and bash's wait for its answer is kept until that wait ends: short
# waits, so that whoever says stop is not kept until somebody presses Enter.
read_line() {
  local piece status
  answer=
  while true; do
    piece='' status=0
    IFS= read -r -t 1 piece || status=$?
    answer+=$piece
    [ "$status" -gt 128 ] || break # above: the time was up
  done
  answer=$(clean_answer "$answer")
  return "$status"
}

# Terminals whose Backspace is the other one of 8 and 127 send it as a character; cursor keys send
# sequences, and so does a paste.
clean_answer() {
  local text=$1 before='' character at
  text=${text//$'\e[200~'/}
  text=${text//$'\e[201~'/}
  for ((at = 0; at < ${#text}; at++)); do
    character=${text:at:1}
    case $character in
      $'\b' | $'\x7f') before=${before%?} ;;
      $'\r') ;;
      *) before+=$character ;;
    esac
  done
  before=${before#"${before%%[![:space:]]*}"}
  printf '%s' "${before%"${before##*[![:space:]]}"}"
}
