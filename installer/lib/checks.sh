# shellcheck shell=bash disable=SC2034,SC2154 # shared with the files that it is sourced with
# The checks of the host, from the unpacked release, before anything is changed. Sourced.

# Sets `accepted`: ids of failed checks that somebody answers for, to be written down later. What neither
# packages nor the preparation of the host can mend is decided before either has changed anything.
check_host() {
  local config=$root$directory/Vx/etc/drscout.conf
  accepted='' installed_packages='' prepared='' will_prepare=''
  if [ -f "$config" ] && [ ! -r "$config" ]; then
    say "This host is not checked: only root can read $config."
    return
  fi
  say 'Checking this host. This can take a minute.'
  run_checks table
  [ "$(id -u)" -eq 0 ] || say 'Not run as root: some of it only root can see.'
  refuse_version
  if is_failing retention-volume && is_retention_open; then
    say 'The retention volume is chosen in the Host Config Interface, on its page Agent.'
  fi
  settle_preparation
  settle_failing
  offer_packages
  prepare_host
  [ -n "$installed_packages$prepared" ] || return 0
  refuse_version
  settle_failing
}

# Ended after something was done that stays: it says so, whichever way it ends.
say_kept() {
  [ -z "$installed_packages" ] || say "Packages that were installed before stay: $installed_packages"
  [ -z "$prepared" ] || say 'This host stays prepared; ApplyCustomChanges.sh --revert takes that back.'
}

nothing_changed() {
  if [ -z "$installed_packages$prepared" ]; then
    echo 'nothing was changed'
  else
    echo 'nothing of Homeward was changed'
  fi
}

# run_checks table|again [FLAG …]: shows the table, and sets `failing`, `hard` and `missing` to ids of checks,
# and `fixed` to what --fix has installed. What is not configured yet is said by environment.
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
  local -a reader=("$source_tree/runtime/bin/node" --no-wasm-tier-up --no-wasm-dynamic-tiering)
  reader+=("$source_tree/installer/lib/read-checks.ts" "$how" "$(columns)")
  report=$("${reader[@]}" <<<"$report" 2>>"$errors") ||
    fail "$exit_bug" "the checks could not be run: $(grep -m 1 . "$errors")" \
      "Run them by hand: $source_tree/bin/homeward check"
  {
    read -r failing
    read -r hard
    read -r missing
    read -r fixed
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
  installed_packages=$fixed
  undo=say_kept
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

# Keeps LVM, mdadm and automounters away from the disks of replicas. Sets `will_prepare`.
settle_preparation() {
  [ -x "$source_tree/installer/ApplyCustomChanges.sh" ] || return 0
  case $role,$flag_custom_changes in
    *,n) return 0 ;;
    MasterTarget,y | AllInOne,y) will_prepare=yes && return ;;
    MasterTarget,* | AllInOne,*) is_failing lvm-quiet || return 0 ;;
    *) return 0 ;;
  esac
  if [ -z "$flag_yes" ]; then
    is_interactive || return 0
    if [ -n "$flag_dry_run" ]; then
      say 'Would ask whether to prepare this host with ApplyCustomChanges.sh.'
    else
      say 'LVM, mdadm or an automounter of this host would take hold of the disks of replicas.'
      ask_yes 'Prepare this host with ApplyCustomChanges.sh ?' y || return 0
    fi
  fi
  will_prepare=yes
}

prepare_host() {
  local script=$source_tree/installer/ApplyCustomChanges.sh
  [ -n "$will_prepare" ] || return 0
  will_prepare=
  [ -z "$flag_dry_run" ] || { say "Would run $script" && return; }
  prepared=yes
  undo=say_kept
  "$script" --yes ${root:+--root "$root"} 9>&- || warn "$script ended with $?"
  run_checks again
}

is_failing() {
  case " $failing " in *" $1 "*) ;; *) return 1 ;; esac
}

# No reason is good enough: writes of a newer master target cannot be read by an older server.
refuse_version() {
  local nothing
  is_failing version || return 0
  nothing=$(nothing_changed)
  fail "$exit_refused" "this $(role_title "$role") would be newer than its configuration server" \
    "${nothing^}. Upgrade in this order: configuration server, process servers, master targets."
}

# What has failed is accepted, or the end. What the preparation of this host will mend waits for it.
settle_failing() {
  local id open=''
  put_off_retention
  for id in $failing; do
    [ "$id" = lvm-quiet ] && [ -n "$will_prepare" ] || open+=" $id"
  done
  if [ -n "$open" ]; then accept_or_stop "$open"; else accepted=''; fi
}

accept_or_stop() {
  local id open='' before=$accepted
  accepted=
  for id in $1; do
    case ,$flag_accept,${before// /,}, in
      *,"$id",* | *,all,*) accepted+=" $id" ;;
      *) open+=" $id" ;;
    esac
  done
  if [ -z "$open" ]; then
    [ "$accepted" = "$before" ] || say "Accepted:$accepted ($flag_because)"
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
  hint_at_preparation
  fail "$exit_check_failed" "$(nothing_changed), since these checks failed:$1" \
    "Put them right as the table says, or go on with: --accept ${ids// /,} --because TEXT"
}

hint_at_preparation() {
  is_failing lvm-quiet && [ -z "$flag_custom_changes$prepared" ] || return 0
  say 'What lvm-quiet has found is put right with: --apply-custom-changes y (or --yes)'
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
