# shellcheck shell=bash disable=SC2034,SC2154 # shared with the files that it is sourced with
# The checks of the host, from the unpacked release, before anything is changed. Sourced.

# Sets `accepted`: ids of failed checks that somebody answers for, to be written down later.
check_host() {
  accepted=
  say 'Checking this host. This can take a minute.'
  run_checks table
  offer_packages
  offer_custom_changes
  refuse_version
  case " $failing " in
    *' retention-volume '*)
      ! is_retention_open ||
        say 'The retention volume is chosen in the Host Config Interface, on its page Agent.'
      ;;
  esac
  put_off_retention
  [ -z "$failing" ] || accept_or_stop "$failing"
}

# run_checks table|again [FLAG …]: shows the table, and sets `failing`, `hard` and `missing` to ids of checks.
# What is not configured yet is said by environment.
run_checks() {
  local how=$1 report
  shift
  local config=$root$directory/Vx/etc/drscout.conf
  local -a given=(check --json)
  [ ! -f "$config" ] || given+=(--config "$config")
  report=$(
    export NODE_COMPILE_CACHE='' HOMEWARD_ROLE="$role"
    [ -z "$flag_address" ] || export HOMEWARD_CONFIG_SERVER_ADDRESS="$flag_address"
    [ -z "$flag_port" ] || export HOMEWARD_CONFIG_SERVER_PORT="$flag_port"
    [ -z "$flag_retention" ] || export HOMEWARD_RETENTION_VOLUME="$flag_retention"
    "$source_tree/bin/homeward" "${given[@]}" "$@" 9>&- 2>"$errors"
  )
  # Node reads JSON, so that nothing else has to be installed for it.
  report=$("$source_tree/runtime/bin/node" "$source_tree/installer/lib/read-checks.ts" "$how" "$(columns)" \
    <<<"$report" 2>>"$errors") ||
    fail "$exit_bug" "the checks could not be run: $(head -n 1 "$errors")" \
      "Run them by hand: $source_tree/bin/homeward check"
  {
    read -r failing
    read -r hard
    read -r missing
    say "$(cat)"
  } <<<"$report"
}

columns() {
  local size
  size=$(stty size 2>/dev/null)
  case ${size##* } in
    '' | 0 | *[!0-9]*) echo 100 ;;
    *) echo "${size##* }" ;;
  esac
}

# Packages of the distribution are the one thing that may have to be fetched.
offer_packages() {
  [ -n "$missing" ] || return 0
  if [ -n "$flag_offline" ]; then
    say "Nothing is fetched, as --offline says. Install what is missing by hand: see \"packages\" above."
    return
  fi
  [ -z "$flag_dry_run" ] || { say 'Would install the missing packages.' && return; }
  if is_interactive && [ -z "$flag_yes" ]; then
    ask_yes 'Install what is missing with the package manager ?' y || return 0
  fi
  say 'Installing what is missing'
  run_checks again --fix
}

# On a terminal the retention volume of a new host is chosen after the checks, in the Host Config Interface.
put_off_retention() {
  local id others=''
  is_retention_open || return 0
  for id in $failing; do
    case $id in retention-*) ;; *) others+=" $id" ;; esac
  done
  failing=${others# }
}

is_retention_open() {
  is_interactive && [ -z "$flag_retention$flag_dry_run" ] && lacks_retention
}

# Keeps LVM, mdadm and automounters away from the disks of replicas.
offer_custom_changes() {
  local script=$source_tree/installer/ApplyCustomChanges.sh
  case $role in MasterTarget | AllInOne) ;; *) return 0 ;; esac
  case " $failing " in *' lvm-quiet '*) ;; *) return 0 ;; esac
  [ -x "$script" ] && [ "$flag_custom_changes" != n ] || return 0
  [ -z "$flag_dry_run" ] || { say "Would run $script" && return; }
  if [ -z "$flag_custom_changes$flag_yes" ]; then
    is_interactive || return 0
    say 'LVM, mdadm or an automounter of this host would take hold of the disks of replicas.'
    ask_yes 'Prepare this host with ApplyCustomChanges.sh ?' y || return 0
  fi
  "$script" --yes ${root:+--root "$root"} 9>&- || warn "$script ended with $?"
  run_checks again
}

# No reason is good enough: writes of a newer master target cannot be read by an older server.
refuse_version() {
  case " $failing " in *' version '*) ;; *) return 0 ;; esac
  [ -z "$flag_dry_run" ] || return 0
  fail "$exit_refused" "this $(role_title "$role") would be newer than its configuration server" \
    'Nothing was changed. Upgrade in this order: configuration server, process servers, master targets.'
}

accept_or_stop() {
  local id open=''
  for id in $1; do
    case ,$flag_accept, in
      *,"$id",* | *,all,*) accepted+=" $id" ;;
      *) open+=" $id" ;;
    esac
  done
  if [ -z "$open" ]; then
    say "Accepted:$accepted ($flag_because)"
  elif [ -n "$flag_dry_run" ]; then
    say "Would stop: these checks failed:$open"
    dry_status=$exit_check_failed
  else
    is_interactive || stop_for_checks "$open"
    ask_to_accept "$open"
  fi
}

ask_to_accept() {
  say "These checks keep the service from starting:$1"
  ask_yes 'Install all the same ?' n || stop_for_checks "$1"
  flag_because=
  while [ -z "$flag_because" ]; do
    ask 'Why may they stay so ? (kept, and shown in the status) :' ''
    flag_because=$answer
  done
  accepted+=$1
}

stop_for_checks() {
  local ids=${1# }
  fail "$exit_check_failed" "nothing was changed, since these checks failed:$1" \
    "Put them right as the table says, or go on with: --accept ${ids// /,} --because TEXT"
}

# Kept with the data of the role, shown in status. What cannot be accepted for good is looked at again when
# the service starts; then it does not start, and says why.
keep_accepted() {
  local id
  for id in $accepted; do
    case " $hard " in
      *" $id "*)
        say "$id is accepted for the installation alone: the service checks it again when it starts."
        continue
        ;;
    esac
    HOMEWARD_ROLE=$role "$root$directory/Vx/bin/homeward" check --accept "$id" --because "$flag_because" \
      --config "$root$directory/Vx/etc/drscout.conf" >/dev/null 2>"$errors" 9>&- ||
      warn "$id is not kept as accepted: $(head -n 1 "$errors")"
  done
}
