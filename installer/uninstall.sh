#!/usr/bin/env bash
# Removes Homeward from this host, and never what it keeps: no retention volume, no replica, no state.
# docs/installing.md explains it; --help lists its flags. It is read whole before it removes itself.
if [ -z "${BASH_VERSION:-}" ]; then exec bash "$0" "$@"; fi
set -u -o pipefail

program=uninstall.sh
source_tree=$(dirname "$(dirname "$(readlink -f "$0")")")
lib=$source_tree/installer/lib
# shellcheck source=lib/say.sh
. "$lib/say.sh" || exit 70
# shellcheck source=lib/read-line.sh
. "$lib/read-line.sh"
# shellcheck source=lib/ask.sh
. "$lib/ask.sh"
# shellcheck source=lib/host.sh
. "$lib/host.sh"
# shellcheck source=lib/installed.sh
. "$lib/installed.sh"
# shellcheck source=lib/services.sh
. "$lib/services.sh"
# shellcheck source=lib/remove.sh
. "$lib/remove.sh"

flag_yes='' flag_purge='' flag_dry_run='' flag_directory=''

main() {
  settle_environment
  handle_signals
  parse_removal "$@"
  require_root
  take_lock
  find_what_is_here
  say_what_goes
  [ -z "$flag_dry_run" ] || return 0
  confirm_removal
  stop_services
  find_what_stays
  [ -z "$flag_purge" ] || purge
  remove_programs "$directory"
  say ''
  if [ -n "$programs" ]; then say 'Homeward is removed.'; else say 'What it had left is removed.'; fi
  say_what_stays
}

show_removal_help() {
  cat <<'HELP'
usage: uninstall.sh [flags]

Stops and removes the services and programs of Homeward. History, replicas, identity, configuration and logs
stay, and a later installation goes on with them.

  -Y, -y, --yes        ask nothing
      --purge          remove configuration, identity and logs as well; never history or replicas
  -d, --directory DIR  where it is installed, when that is not known here any more
      --dry-run        say what would be removed, and remove nothing

Exit status: 0 removed, or nothing was there; 2 usage; 3 answered with no; 5 an installation runs;
9 a service could not be stopped, and nothing was removed; 77 not root; 128+n ended by signal n
HELP
}

parse_removal() {
  while [ $# -gt 0 ]; do
    case $1 in
      --directory=*) set -- "$1" -d "${1#*=}" "${@:2}" ;;
      -Y | -y | --yes | -q | --quiet) flag_yes=yes ;;
      --purge) flag_purge=yes ;;
      --dry-run) flag_dry_run=yes ;;
      -d | --directory)
        [ $# -ge 2 ] || usage_error "$1 needs a value"
        problem_with_directory "$2" >/dev/null || usage_error "-d $2 cannot be where it is installed"
        flag_directory=$(tidy_path "$2")
        shift
        ;;
      -h | --help) show_removal_help && exit 0 ;;
      *) usage_error "there is no flag $1" ;;
    esac
    shift
  done
}

# Also the beginnings of an installation that was cut off.
find_what_is_here() {
  local own
  own=$(dirname "$(dirname "$(dirname "$source_tree")")")
  [ "$(basename "$(dirname "$source_tree")")" = releases ] || own=
  own=${own#"$root"}
  find_installed ${flag_directory:+"$flag_directory"} ${own:+"$own"} "$default_directory"
  refuse_package remove
  directory=${flag_directory:-$installed_directory}
  role=$installed_role
  refuse_what_is_not_ours
  if [ -z "$directory" ] || [ ! -d "$root$directory/Vx" ]; then
    say 'Homeward is not installed here: nothing to remove.'
    exit 0
  fi
  programs=yes
  has_programs "$directory" || programs=
  [ -z "$programs" ] && [ -z "$flag_purge" ] || return 0
  say 'Homeward is not installed here: nothing to remove. --purge removes configuration, identity and logs.'
  find_what_stays
  say_what_stays
  exit 0
}

# Another product may be what lies there; it may also have got ours beside it.
refuse_what_is_not_ours() {
  local found
  found=$(foreign_in "$directory") || return 0
  if [ ! -d "$root$directory/Vx/releases" ]; then
    say "Homeward is not installed here: $found is not Homeward's. Nothing to remove."
    exit 0
  fi
  [ -z "$flag_purge" ] ||
    fail "$exit_conflict" "$found is not Homeward's, so the files beside it may not be either" \
      'Nothing was removed. Leave --purge out: it removes configuration and identity.'
}

say_what_goes() {
  local path what=${installed_version:-(a beginning of it)}
  [ -n "$programs" ] || what='(removed before)'
  say "Homeward $what in $directory${role:+, $role}"
  [ -z "$programs" ] ||
    say "  goes:   services, programs in $directory/Vx, /usr/local/bin/homeward, $version_file"
  if [ -n "$flag_purge" ]; then
    say "  goes:   $directory/Vx/etc, $directory/Vx/private, /var/log/homeward, the identity of this host"
  fi
  say '  stays:  history, replicas, and what /var/lib/homeward has of them'
  while IFS= read -r path; do say "  stays:  $path"; done < <(drop_ins_of_others)
  if [ -s "$root/var/lib/homeward/custom-changes/manifest" ]; then
    say '  stays:  what ApplyCustomChanges.sh has changed on this host. To take that back, run before:'
    say "          $directory/Vx/current/installer/ApplyCustomChanges.sh --revert"
  fi
}

confirm_removal() {
  [ -z "$flag_yes" ] || return 0
  [ -t 0 ] || usage_error 'this is no terminal, so it cannot ask' 'Give -Y.'
  ask_yes 'Remove it ?' n || fail "$exit_declined" 'nothing was removed'
}

# A unit stops within its own limit; beyond that the service manager is asked to end it. Every wait has an end.
stop_services() {
  local unit
  has_systemd || return 0
  for unit in $(our_units); do
    [ -f "$root$unit_directory/$unit" ] || continue
    timeout 60 systemctl disable "$unit" >/dev/null 2>&1
    timeout 180 systemctl stop "$unit" >/dev/null 2>&1 && continue
    warn "$unit does not stop; it is ended"
    timeout 30 systemctl kill -s KILL "$unit" >/dev/null 2>&1
    timeout 60 systemctl stop "$unit" >/dev/null 2>&1
    case $(systemctl is-active "$unit" 2>/dev/null) in
      active | deactivating)
        fail "$exit_not_started" "$unit still runs, so nothing was removed" "systemctl status $unit says why"
        ;;
    esac
  done
}

# Configuration, identity and logs, by name: whatever else lies beside them is not ours to remove.
# A configuration server's authority is not the identity of this host alone, but of all: it stays.
purge() {
  local data
  data=$(data_of "$role" "$root$directory/Vx/etc/drscout.conf")
  log_file=
  rm -rf "$root$directory/Vx/etc" "$root$directory/Vx/private" "$root/var/log/homeward"
  [ -n "$role" ] || return 0
  rm -rf "$root$data/identity" "$root$data"/*/identity "$root$data/accepted-checks.json"
}

# Everything that a later installation goes on with, or that somebody has to remove by hand.
find_what_stays() {
  local key path config=$directory/Vx/etc/drscout.conf
  may_stay=("$config" /var/lib/homeward /var/log/homeward)
  while IFS= read -r path; do may_stay+=("$path"); done < <(drop_ins_of_others)
  for key in RetentionVolume ReplicaDirectory DataDirectory; do
    may_stay+=("$(ini_value $key "$root$config")")
  done
}

say_what_stays() {
  local path
  for path in "${may_stay[@]}"; do
    if [ -n "$path" ] && [ -e "$root$path" ]; then say "  still here: $path"; fi
  done
}

main "$@"
exit
