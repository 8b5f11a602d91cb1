#!/usr/bin/env bash
# Prepares a master target's host: keeps LVM, mdadm, multipath and automounters away from replica disks,
# names the host's own disks by what stays, and rebuilds the initramfs, without which none of it holds at
# boot.
#
# What it goes by is the other way round from what it protects: only the disks that this host itself uses
# (mounted, swap, in fstab or crypttab) stay visible to LVM, mdadm and multipath. A disk that is added later
# is then safe from the first moment.
set -u
export LC_ALL=C.UTF-8
PATH=$PATH:/usr/sbin:/sbin
umask 022

parts=$(dirname "$(readlink -f "$0")")/custom-changes
# shellcheck source=installer/custom-changes/devices.bash
. "$parts/devices.bash" || exit 1
# shellcheck source=installer/custom-changes/files.bash
. "$parts/files.bash" || exit 1
# shellcheck source=installer/custom-changes/lvm.bash
. "$parts/lvm.bash" || exit 1
# shellcheck source=installer/custom-changes/others.bash
. "$parts/others.bash" || exit 1
# shellcheck source=installer/custom-changes/live.bash
. "$parts/live.bash" || exit 1
# shellcheck source=installer/lib/read-line.sh
. "${parts%/*}/lib/read-line.sh" || exit 1

root=/ dry=no yes=no revert=no rebuild=

usage() {
  cat <<'TEXT'
Usage: ApplyCustomChanges.sh [--dry-run] [--yes] [--revert] [--root DIR] [--rebuild PROGRAM]
Prepares the host of a master target: LVM, mdadm, multipath and automounters leave replica disks alone.
  --dry-run          show what would change, and change nothing
  --yes              do not ask
  --revert           take back what an earlier run has changed
  --root DIR         work on the system below DIR; its initramfs is left alone unless --rebuild is given
  --rebuild PROGRAM  run this to rebuild the initramfs, in place of dracut or update-initramfs
Exit status: 0 done, or applied already; 1 something failed; 2 usage; 3 declined; 77 not root.
Changes are shown, and asked for, before they are made.
TEXT
}

say() { printf '%s\n' "$1"; }

fail() {
  printf 'ApplyCustomChanges.sh: %s\n' "$1" >&2
  exit "${2:-1}"
}

read_options() {
  while [ $# -gt 0 ]; do
    case $1 in
      --dry-run) dry=yes ;;
      --yes | -y) yes=yes ;;
      --revert) revert=yes ;;
      --root | --rebuild)
        [ -n "${2:-}" ] || fail "$1 needs a value; see --help" 2
        if [ "$1" = --root ]; then root=$2; else rebuild=$2; fi
        shift
        ;;
      --root=?*) root=${1#*=} ;;
      --rebuild=?*) rebuild=${1#*=} ;;
      -h | --help) usage && exit 0 ;;
      *) fail "there is no option $1; see --help" 2 ;;
    esac
    shift
  done
  [ -d "$root" ] || fail "there is no directory $root" 2
  root=$(cd "$root" && pwd -P) || exit 1
  [ "$root" = / ] || [ -d "$root/etc" ] || fail "$root has no etc: it is no system" 2
  [ "$root" != / ] || [ "$(id -u)" = 0 ] || fail 'this needs root: run it with sudo' 77
  # Paths are written as $top/etc/fstab from here on.
  top=${root%/}
}

# One at a time, and not at all where nothing can be written: said before anything has changed.
open_state() {
  state=$top/var/lib/homeward/custom-changes
  manifest=$state/manifest
  [ "$dry" = no ] || return 0
  local why place
  for place in "$state/saved" "$top/etc"; do
    why=$({ mkdir -p "$place" && : >"$place/.homeward-try" && rm -f "$place/.homeward-try"; } 2>&1) ||
      fail "nothing was changed: $place cannot be written (${why##*: })"
  done
  exec 9>"$state/lock" || exit 1
  if command -v flock >/dev/null && ! flock -n 9; then fail 'another run of it is under way'; fi
}

ask() {
  local question=$1 answer
  [ "$yes" = no ] || return 0
  [ -t 0 ] || fail 'nobody is there to ask: say --yes, or --dry-run' 2
  printf '%s (y/n) [Default: n] ' "$question"
  read_line || answer=n
  case $answer in [Yy] | [Yy]es) return 0 ;; esac
  say 'Nothing was changed.'
  exit 3
}

apply() {
  find_used
  plan_lvm
  plan_mdadm
  plan_multipath
  plan_udev
  plan_grub
  plan_tables
  local path changes=0
  for path in "${planned[@]}"; do
    show_change "$path" && changes=$((changes + 1))
  done
  local note
  for note in "${notes[@]}"; do say "$note"; done
  if [ "$changes" = 0 ] && [ ! -e "$state/initramfs-due" ]; then
    say 'already applied: nothing to change'
    say_restart
    return 0
  fi
  if [ "$dry" = yes ]; then
    say_dry "$changes"
    return 0
  fi
  [ "$changes" = 0 ] || ask "Change these $changes files ?"
  mark_due
  for path in "${planned[@]}"; do
    put_file "$path" || fail "$path could not be written; run it again, or take all of it back with --revert"
  done
  finish
  say 'Applied.'
  say_restart
}

say_dry() {
  local rebuilder
  find_rebuilder
  if [ ${#rebuilder[@]} -gt 0 ]; then
    say "$1 files would change, and the initramfs would be rebuilt. Nothing was changed."
  else
    say "$1 files would change. Nothing was changed."
    say_rebuild_left
  fi
}

take_back() {
  local path kind before after any=no
  if [ ! -s "$manifest" ]; then
    say 'nothing was applied: nothing to take back'
    [ "$dry" = yes ] || forget
    return 0
  fi
  while IFS=$'\t' read -r path kind before after; do
    plan_revert "$path" "$kind" "$before" "$after"
    show_change "$path" && any=yes
  done <"$manifest"
  local note
  for note in "${notes[@]}"; do say "$note"; done
  if [ "$dry" = yes ]; then
    say 'Nothing was changed.'
    return 0
  fi
  [ "$any" = no ] || ask 'Take this back ?'
  mark_due
  for path in "${planned[@]}"; do
    replace_file "$path" || fail "$path could not be written; run it again"
  done
  finish
  forget
  say 'Taken back.'
  say_restart
}

# The copies stay until everything is done: a run that was interrupted is repeated from the beginning.
forget() {
  remove_made_directories
  rm -rf "${state:?}"
  rmdir "$top/var/lib/homeward" 2>/dev/null
}

read_options "$@"
open_state
work=$(mktemp -d "${TMPDIR:-/tmp}/homeward-changes-XXXXXX") || fail 'there is no room for temporary files'
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 129' HUP
trap 'exit 143' TERM
planned=() notes=()
if [ "$revert" = yes ]; then take_back; else apply; fi
