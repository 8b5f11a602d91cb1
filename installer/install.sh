#!/usr/bin/env bash
# Installs Homeward on this host, or upgrades what is installed. docs/installing.md explains it; --help lists
# its flags. It asks first, then checks, and changes something only after that.
if [ -z "${BASH_VERSION:-}" ]; then exec bash "$0" "$@"; fi
set -u -o pipefail

program=install.sh
source_tree=$(dirname "$(dirname "$(readlink -f "$0")")")
lib=$source_tree/installer/lib
# shellcheck source=lib/say.sh
. "$lib/say.sh" || exit 70
# shellcheck source=lib/flags.sh
. "$lib/flags.sh"
# shellcheck source=lib/help.sh
. "$lib/help.sh"
# shellcheck source=lib/read-line.sh
. "$lib/read-line.sh"
# shellcheck source=lib/ask.sh
. "$lib/ask.sh"
# shellcheck source=lib/questions.sh
. "$lib/questions.sh"
# shellcheck source=lib/host.sh
. "$lib/host.sh"
# shellcheck source=lib/installed.sh
. "$lib/installed.sh"
# shellcheck source=lib/checks.sh
. "$lib/checks.sh"
# shellcheck source=lib/place.sh
. "$lib/place.sh"
# shellcheck source=lib/services.sh
. "$lib/services.sh"
# shellcheck source=lib/connect.sh
. "$lib/connect.sh"
# shellcheck source=lib/remove.sh
. "$lib/remove.sh"
# shellcheck source=lib/upgrade.sh
. "$lib/upgrade.sh"
# shellcheck source=lib/plan.sh
. "$lib/plan.sh"

main() {
  settle_environment
  handle_signals
  new_version=$(version_of "$source_tree")
  parse_flags "$@"
  before_anything
  ask_everything
  if [ -n "$flag_dry_run" ]; then
    say_plan
    exit "$dry_status"
  fi
  change_everything
  say_where_it_stands
}

# What it needs to know before it asks anything.
before_anything() {
  require_root
  [ -n "$new_version" ] || fail "$exit_bug" "$source_tree is no release: package.json has no version"
  require_system
  require_whole_package
  take_lock
}

ask_everything() {
  dry_status=0
  say "Homeward $new_version"
  find_installed "${flag_directory:-$default_directory}"
  refuse_package upgrade
  refuse_foreign "$(ini_value INSTALL_DIR "$root$version_file")"
  settle_where_and_role
  refuse_foreign "$directory"
  check_for_role
  refuse_own_directory "$directory"
  require_places "$directory"
  settle_change
  confirm_change
  check_host
}

# A download that broke off must not become an installation.
require_whole_package() {
  local top
  top=$(dirname "$source_tree")
  [ -f "$top/SHA256SUMS" ] && [ "$(basename "$source_tree")" = release ] || return 0
  (cd "$top" && sha256sum --quiet -c SHA256SUMS >/dev/null 2>&1) ||
    fail "$exit_refused" "files of $top are not as they were packed" \
      'Nothing was changed. Unpack the package once more, or fetch it again: its sums are in SHA256SUMS.'
}

say_where_it_stands() {
  local unit command
  unit=$(unit_of "$role")
  command=$directory/Vx/bin
  say ''
  say "Homeward $new_version is installed as $(role_title "$role") in $directory."
  say "  Service               $unit: $service"
  case $role in
    ConfigServer | AllInOne) ;;
    *) say "  Configuration server  $(words_on_server)" ;;
  esac
  say "  Configuration         $directory/Vx/etc/drscout.conf"
  say 'What to do next:'
  say_next "$unit" "$command"
  [ "$connect_status" -eq 0 ] || [ -z "$flag_passphrase" ] || exit "$exit_not_connected"
  [ "$service" != 'did not start' ] || exit "$exit_not_started"
}

words_on_server() {
  if [ $connected = yes ]; then
    configured_server
  elif needs_server; then
    echo 'none yet'
  else
    echo 'none yet: it runs alone'
  fi
}

lacks_retention() {
  case $role in MasterTarget | AllInOne) ;; *) return 1 ;; esac
  [ -z "$(ini_value RetentionVolume "$root$directory/Vx/etc/drscout.conf")" ]
}

# Where no service manager does it.
line_to_start() {
  echo "$directory/Vx/bin/homeward $(role_word "$role") --config $directory/Vx/etc/drscout.conf"
}

say_next() {
  case $role in
    ConfigServer | AllInOne)
      say '  homeward passphrase show      what other hosts need to be let in'
      say '  homeward hosts                who is there'
      ! lacks_retention || say "  $2/hostconfigcli      choose the retention volume (page Agent)"
      ;;
    *)
      [ $connected = yes ] || say "  $2/hostconfigcli      connect it to a configuration server"
      ! lacks_retention || say "  $2/hostconfigcli      choose the retention volume (page Agent)"
      ! needs_disks || say_disks "$1"
      ;;
  esac
  if [ "$service" = 'by hand' ]; then
    say '  There is no systemd here. Start it, at every boot, with:'
    say "  $(line_to_start)"
  fi
  case $service in
    running) say '  homeward status               how it is' ;;
    'did not start' | 'not started'*) say "  systemctl start $1, when what is said above is put right" ;;
  esac
  say '  homeward check                the checks of this host, at any time'
}

say_disks() {
  local config=$directory/Vx/etc/drscout.conf
  say "  Set in [homeward] of $config which disks this machine has, and where it serves them:"
  say '      MachineDisks = root=/dev/vg/root'
  say '      MachineListen = unix:/run/homeward/web.sock'
  if [ "$service" = 'by hand' ]; then
    say '  before it is started.'
  else
    say "  and then: homeward config service --write --config $config && systemctl restart $1"
  fi
}

main "$@"
exit
