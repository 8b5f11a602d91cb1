# shellcheck shell=bash disable=SC2034,SC2154 # shared with the files that it is sourced with
# The passphrase file, and the way to the configuration server through hostconfigcli. Sourced.

# As many characters as `homeward passphrase show` prints.
readonly passphrase_characters=24

# Its content is never printed, and never an argument of a program.
check_passphrase_file() {
  local text mode
  [ -e "$1" ] || usage_error "-P $1: there is no such file" \
    'Put there what `homeward passphrase show` prints on the configuration server.'
  [ -f "$1" ] || usage_error "-P $1 is not a file"
  [ -r "$1" ] || usage_error "-P $1 cannot be read"
  if [ "$(head -c 4096 "$1" | tr -d '\0' | wc -c)" -ne "$(head -c 4096 "$1" | wc -c)" ]; then
    usage_error "-P $1 is not plain text" 'An editor has saved it as UTF-16; save it as UTF-8 or ASCII.'
  fi
  text=$(head -c 4096 "$1")
  text=${text#$'\xef\xbb\xbf'}
  text=${text#"${text%%[![:space:]]*}"}
  text=${text%"${text##*[![:space:]]}"}
  [ -n "$text" ] || usage_error "-P $1 is empty" \
    'Put there what `homeward passphrase show` prints on the configuration server.'
  # What hostconfigcli refuses, when everything is installed already.
  (LC_ALL=C && case $text in *[!\!-~]*) exit 1 ;; esac) ||
    usage_error "-P $1 holds more than a passphrase: blanks or letters that none has, or a second line" \
      'It has to be what `homeward passphrase show` prints on the configuration server, in one line.'
  [ ${#text} -ge $passphrase_characters ] ||
    usage_error "-P $1 holds ${#text} characters; a passphrase has $passphrase_characters" \
      'Copy all of what `homeward passphrase show` prints on the configuration server.'
  mode=$(stat -Lc %a "$1")
  case $mode in
    *[4-7]) warn "everybody on this host can read $1: chmod 600 $1, or remove it when this is done" ;;
  esac
}

# Sets `connected` to yes or no; `connect_status` is what hostconfigcli ended with.
connect() {
  local before
  connect_status=0
  connected=no
  before=$(configured_server)
  if [ -n "$flag_passphrase" ]; then
    connect_unattended
  elif [ -n "$flag_address" ]; then
    open_host_config --suggest-address "$flag_address" --suggest-port "${flag_port:-443}"
  elif [ -n "$before$flag_alone" ] || [ "$role" != MasterTarget ] || ! is_interactive; then
    :
  elif [ "$change" = upgrade ]; then
    : # it was asked at the first installation
  elif ask_connect; then
    open_host_config
  fi
  [ -z "$(configured_server)" ] || connected=yes
}

configured_server() {
  ini_value ConfigServerAddress "$root$directory/Vx/etc/drscout.conf"
}

connect_unattended() {
  say "Connecting to the configuration server $flag_address"
  host_config --address "$flag_address" --port "${flag_port:-443}" --https yes \
    --passphrase-file "$flag_passphrase"
  connect_status=$?
  [ $connect_status -eq 0 ] || warn "this host is not connected to $flag_address"
}

# The first screen of the Host Config Interface is one key away; so is going on without.
ask_connect() {
  say '        Is there a configuration server that this Master Target belongs to ?'
  say '        1. Yes: open the Host Config Interface, and connect to it'
  say '        2. No configuration server yet: run alone'
  while true; do
    ask 'Please make your choice ? (1/2) [Default: 1]' 1
    case $answer in
      1) return 0 ;;
      2) return 1 ;;
    esac
    say 'Please answer 1 or 2.'
  done
}

# It saves what worked; leaving it without is an answer, too. What is suggested is in its fields.
open_host_config() {
  local saved
  saved=$(stty -g 2>/dev/null)
  host_config "$@"
  connect_status=$?
  [ -z "$saved" ] || stty "$saved" 2>/dev/null
  return 0
}

host_config() {
  in_user_locale "$root$directory/Vx/bin/hostconfigcli" "$@" 9>&-
}
