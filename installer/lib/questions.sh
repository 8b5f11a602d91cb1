# shellcheck shell=bash disable=SC2034,SC2154 # shared with the files that it is sourced with
# The dialogue: where, which role, upgrade or not. Its labels and their order are a contract. Sourced.

# Looked at once: within a command substitution nothing is a terminal.
terminal=no
if [ -t 0 ] && [ -t 1 ]; then terminal=yes; fi

is_interactive() {
  [ -z "$flag_quiet" ] && [ $terminal = yes ]
}

# Sets `directory` and `role`.
settle_where_and_role() {
  if [ -n "$installed_version" ]; then
    keep_where_and_role
    return
  fi
  directory=$flag_directory
  role=$flag_role
  if ! is_interactive; then
    [ -n "$role" ] || explain_flags
    [ -n "$directory" ] || directory=$default_directory
    return
  fi
  [ -n "$directory" ] || ask_where
  [ -n "$role" ] || ask_role
}

explain_flags() {
  local why='this is no terminal'
  [ -n "$flag_quiet" ] && why='-q asks nothing'
  fail "$exit_usage" "$why, so the answers are needed as flags, and -r ROLE is missing" \
    'Give -r Agent or -r MasterTarget; -d DIR unless /usr/local/ASR; -i ADDRESS -P FILE, or --alone.'
}

# What is installed says both; a flag may only agree.
keep_where_and_role() {
  directory=$installed_directory
  role=$installed_role
  if [ -n "$flag_directory" ] && [ "$flag_directory" != "$directory" ]; then
    fail "$exit_conflict" "Homeward $installed_version is installed in $directory, not in $flag_directory" \
      "Leave -d out, or remove it first: $directory/Vx/current/installer/uninstall.sh"
  fi
  [ -n "$role" ] || role=$flag_role
  if [ -n "$flag_role" ] && [ "$flag_role" != "$role" ]; then
    fail "$exit_conflict" "this host is installed as $role, not as $flag_role" \
      "Leave -r out, or remove it first: $directory/Vx/current/installer/uninstall.sh"
  fi
  [ -n "$role" ] ||
    fail "$exit_conflict" "$version_file does not say which role this host has" 'Give -r ROLE.'
  case $role in
    ConfigServer | AllInOne)
      [ -z "$flag_address" ] || usage_error "-i is not for a $role: it is its own configuration server"
      ;;
    *) refuse_to_disconnect ;;
  esac
}

# What was connected stays so until somebody says it on the host itself.
refuse_to_disconnect() {
  local server
  server=$(ini_value ConfigServerAddress "$root$directory/Vx/etc/drscout.conf")
  [ -z "$flag_alone" ] || [ -z "$server" ] ||
    fail "$exit_conflict" "--alone: this host is connected to the configuration server $server" \
      'Leave --alone out, or disconnect it first: hostconfigcli --run-alone'
}

ask_where() {
  local problem
  while true; do
    ask "Where do you want to install the agent (default $default_directory) :" "$default_directory"
    if problem=$(problem_with_directory "$answer"); then
      directory=$(tidy_path "$answer")
      return
    fi
    say "$answer: $problem."
  done
}

ask_role() {
  say '        What is the Primary Role of this Agent ?'
  say '        1. Mobility Service'
  say_under 11 'Choose this on a machine that is to be protected: it sends every write of its disks.'
  say '        2. Master Target'
  say_under 11 'Choose this on the host that receives them, keeps every moment, and brings machines home.'
  while true; do
    ask 'Please make your choice ? (1/2) [Default: 1]' 1
    case $answer in
      1) role=Agent ;;
      2) role=MasterTarget ;;
      *)
        say 'Please answer 1 or 2. (Servers are installed with a flag: see --help, -r.)'
        continue
        ;;
    esac
    return
  done
}

# From → to, before anything changes. Sets `change`: new, upgrade, downgrade or same.
settle_change() {
  change=new
  [ -n "$installed_version" ] || return 0
  case $(compare_versions "$installed_version" "$new_version") in
    -1) change=upgrade ;;
    0) change=same ;;
    1) change=downgrade ;;
  esac
  if [ $change = same ]; then
    say "Homeward $new_version is installed in $directory already; what is missing will be put right."
    return
  fi
  say "${change^} in $directory ($(role_title "$role")): from $installed_version to $new_version"
  say 'Configuration, identity, history and replicas stay as they are.'
  if [ $change = downgrade ] && [ -z "$flag_downgrade" ]; then
    fail "$exit_refused" "$installed_version is newer than $new_version" \
      'Data of a newer version may not be readable for an older one. Insist with --allow-downgrade.'
  fi
  say_order
}

say_order() {
  say 'The order of an upgrade: configuration server, process servers, master targets, mobility services.'
  say 'Each works with servers one minor version newer, so there is no hurry between two steps.'
}

confirm_change() {
  case $change in new | same) return 0 ;; esac
  [ -z "$flag_yes$flag_quiet$flag_dry_run" ] || return 0
  is_interactive ||
    usage_error "from $installed_version to $new_version: this is no terminal, so it cannot ask" 'Give --yes.'
  ask_yes 'Go on ?' y || fail "$exit_declined" 'nothing was changed'
}
