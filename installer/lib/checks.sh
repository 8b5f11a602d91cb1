# shellcheck shell=bash disable=SC2034,SC2154 # shared with the files that it is sourced with
# The checks of the host, from the unpacked release, before anything is changed. Sourced.

# Sets `accepted`: ids of failed checks that somebody answers for, to be written down later.
check_host() {
  local failing
  accepted=
  [ "$role" != ConfigServer ] || [ "$change" = new ] || return 0
  say 'Checking this host. This can take a minute.'
  run_checks || return
  offer_packages
  offer_custom_changes
  failing=$(failing_checks)
  refuse_version "$failing"
  [ -n "$failing" ] || return 0
  accept_or_stop "$failing"
}

# The report goes to `report`; the table to the terminal. What is not configured yet is said by environment.
run_checks() {
  local config=$root$directory/Vx/etc/drscout.conf
  local -a given=(check --json)
  [ ! -f "$config" ] || given+=(--config "$config")
  [ -z "$flag_offline" ] || given+=(--offline)
  report=$(
    export NODE_COMPILE_CACHE='' HOMEWARD_ROLE="$role"
    [ -z "$flag_address" ] || export HOMEWARD_CONFIG_SERVER_ADDRESS="$flag_address"
    [ -z "$flag_port" ] || export HOMEWARD_CONFIG_SERVER_PORT="$flag_port"
    [ -z "$flag_retention" ] || export HOMEWARD_RETENTION_VOLUME="$flag_retention"
    "$source_tree/bin/homeward" "${given[@]}" "$@" 9>&- 2>"$errors"
  )
  if ! read_report table; then
    fail "$exit_bug" "the checks could not be run: $(head -n 1 "$errors")" \
      "Run them by hand: $source_tree/bin/homeward check"
  fi
}

# read_report table|failing|missing: Node reads JSON, so that nothing else has to be installed for it.
read_report() {
  "$source_tree/runtime/bin/node" "$source_tree/installer/lib/read-checks.ts" "$1" "$(columns)" <<<"$report"
}

columns() {
  local size
  size=$(stty size 2>/dev/null)
  case ${size##* } in
    '' | 0 | *[!0-9]*) echo 100 ;;
    *) echo "${size##* }" ;;
  esac
}

failing_checks() {
  read_report failing
}

# Packages of the distribution are the one thing that may have to be fetched.
offer_packages() {
  local missing
  missing=$(read_report missing)
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
  run_checks --fix
}

# Keeps LVM, mdadm and automounters away from the disks of replicas.
offer_custom_changes() {
  local script=$source_tree/installer/ApplyCustomChanges.sh
  case $role in MasterTarget | AllInOne) ;; *) return 0 ;; esac
  case " $(failing_checks) " in *' lvm-quiet '*) ;; *) return 0 ;; esac
  [ -x "$script" ] && [ "$flag_custom_changes" != n ] || return 0
  [ -z "$flag_dry_run" ] || { say "Would run $script" && return; }
  if [ -z "$flag_custom_changes$flag_yes" ]; then
    is_interactive || return 0
    say 'LVM, mdadm or an automounter of this host would take hold of the disks of replicas.'
    ask_yes 'Prepare this host with ApplyCustomChanges.sh ?' y || return 0
  fi
  "$script" --yes ${root:+--root "$root"} 9>&- || warn "$script ended with $?"
  run_checks
}

# No reason is good enough: writes of a newer master target cannot be read by an older server.
refuse_version() {
  case " $1 " in *' version '*) ;; *) return 0 ;; esac
  [ -z "$flag_dry_run" ] || return 0
  fail "$exit_refused" "this $(role_title "$role") would be newer than its configuration server" \
    'Nothing was changed. Upgrade in this order: configuration server, process servers, master targets.'
}

accept_or_stop() {
  local id left=''
  for id in $1; do
    case ,$flag_accept, in
      *,"$id",* | *,all,*) accepted+=" $id" ;;
      *) left+=" $id" ;;
    esac
  done
  [ -n "$left" ] || { say "Accepted:$accepted ($flag_because)" && return; }
  if [ -n "$flag_dry_run" ]; then
    say "Would stop: these checks failed:$left"
    dry_status=$exit_check_failed
    return
  fi
  is_interactive || stop_for_checks "$left"
  say "These checks keep the service from starting:$left"
  ask_yes 'Install all the same ?' n || stop_for_checks "$left"
  flag_because=
  while [ -z "$flag_because" ]; do ask 'Why may they stay so? (kept, and shown in the status) :' ''; flag_because=$answer; done
  accepted+=$left
}

stop_for_checks() {
  fail "$exit_check_failed" "nothing was changed, since these checks failed:$1" \
    "Put them right as the table says, or go on with: --accept $(echo "$1" | tr ' ' ',' | cut -c 2-) --because TEXT"
}

# Kept with the data of the role, shown in status. A check that is hard whatever is said is looked at again
# when the service starts; then it does not start, and says why.
keep_accepted() {
  local id
  for id in $accepted; do
    HOMEWARD_ROLE=$role "$root$directory/Vx/bin/homeward" check --accept "$id" --because "$flag_because" \
      --config "$root$directory/Vx/etc/drscout.conf" >/dev/null 2>"$errors" 9>&- ||
      warn "$id is not kept as accepted: $(head -n 1 "$errors")"
  done
}
