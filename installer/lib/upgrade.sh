# shellcheck shell=bash disable=SC2034,SC2154 # shared with the files that it is sourced with
# The order in which things change, and how what was begun is taken back. Sourced.

change_everything() {
  was=$(state_of_service)
  undo=take_back
  place_directories
  note_previous
  place_release
  if [ "$previous_release" = "$release_name" ]; then previous_release=''; fi
  switch_over
  keep_accepted
  connect
  open_firewall
  start_service
  # From here on the new version is what this host has, whether it runs or not.
  undo=''
  case $service in running | waits*) remove_other_releases ;; esac
}

# What it goes back to when the new version does not come up. An upgrade that was killed after the switch has
# left it beside the release in use.
note_previous() {
  local at
  previous_release=''
  [ "$change" != new ] || return 0
  previous_release=$(current_release)
  [ "$change" = same ] || return 0
  for at in "$root$directory/Vx/releases"/*; do
    [ -d "$at" ] && [ "$(version_of "$at")" != "$new_version" ] || continue
    previous_release=$(basename "$at")
    installed_version=$(version_of "$at")
  done
}

switch_over() {
  local tree=$root$directory/Vx/releases/$release_name
  place_config
  label_programs "$directory"
  if [ "$change" = new ]; then
    place_version_file "$new_version" "$tree"
    place_surroundings "$tree"
    label_surroundings
    settle_disk
    use_release "$release_name"
    # Programs and configuration are whole. Whoever leaves now finds them installed, and not started.
    undo=say_not_started
    say "Homeward $new_version is in $directory/Vx"
  else
    use_release "$release_name"
    place_version_file "$new_version" "$tree"
    place_surroundings "$tree"
    label_surroundings
    settle_disk
  fi
}

# Ended before it was done: the old state comes back.
take_back() {
  rm -rf "$root$directory/Vx/releases"/.*.new
  if [ "$change" = new ]; then
    [ -z "${made_config:-}" ] || rm -f "$made_config" "$made_config.new"
    [ -z "${kept_config:-}" ] || mv -f "$kept_config" "${made_config:-$root$directory/Vx/etc/drscout.conf}"
    log_file=
    remove_programs "$directory"
    say 'What was begun is taken back: nothing is installed.'
  elif [ -n "$previous_release" ] && [ "$(current_release)" != "$previous_release" ]; then
    go_back
  fi
  say_kept
}

go_back() {
  local tree=$root$directory/Vx/releases/$previous_release
  say "Going back to $installed_version"
  use_release "$previous_release"
  place_version_file "$installed_version" "$tree"
  place_surroundings "$tree"
  remove_other_releases
  case $was in active | activating | failed) ;; *) return ;; esac
  if bring_up restart; then
    say "$installed_version runs again."
  else
    show_journal
    warn "$installed_version did not come up either: systemctl status $(unit_of "$role")"
  fi
}

# Left between the switch and the end of a first installation: programs and configuration are whole.
say_not_started() {
  say "Homeward $new_version is installed, and not started."
  if has_systemd; then
    say "Run $program again, or: systemctl enable --now $(unit_of "$role")"
  else
    say "Run $program again, or start it: $(line_to_start)"
  fi
}
