# shellcheck shell=bash disable=SC2034,SC2154 # shared with the files that it is sourced with
# What --dry-run says: everything that the same command line without it would change on this host. Sourced.

say_plan() {
  local path unit vx=$directory/Vx
  unit=$unit_directory/$(unit_of "$role")
  say ''
  say "Would, as $(role_title "$role"), and did nothing of it:"
  plan_programs "$vx"
  plan_config "$vx"
  say "  write $version_file, and link $vx/bin, $vx/runtime and /usr/local/bin/homeward"
  plan_documents
  for path in "$unit" "$unit.d/$our_drop_in" $(system_files | cut -d' ' -f2); do say "  write $path"; done
  say '  make /var/lib/homeward and /var/log/homeward, with a record in /var/log/homeward/install.log'
  if has_selinux; then say '  give all that its SELinux labels'; fi
  plan_connection
  [ -z "$accepted" ] || say "  note as accepted:$accepted ($flag_because)"
  if [ -n "$flag_firewall" ]; then say "  open in the firewall: $(ports_of_role)"; fi
  plan_service
}

plan_programs() {
  local at
  at=$root$1/releases/$(current_release)
  if [ "$change" = same ] && same_release "$source_tree" "$at"; then
    say "  leave the programs of $new_version in $1 as they are"
    return
  fi
  say "  copy the programs of $new_version to $1/releases/$new_version, and link $1/current to it"
  [ "$change" = new ] || say "  remove the programs of $installed_version, once the new ones run"
}

plan_config() {
  local before
  before=$(role_before "$1/etc/drscout.conf")
  if [ -n "$before" ]; then
    say "  write $1/etc/drscout.conf anew, and keep what was set for a $(role_title "$before") beside it"
  elif [ ! -f "$root$1/etc/drscout.conf" ]; then
    say "  write $1/etc/drscout.conf, and make $1/private"
  elif [ -n "$flag_retention" ]; then
    say "  write RetentionVolume = $flag_retention to $1/etc/drscout.conf"
  fi
}

plan_documents() {
  [ -d "$source_tree/share" ] || return 0
  say '  link manual pages to /usr/local/share/man/man1 and /usr/local/share/man/man8'
  say '  link completions to /usr/local/share/bash-completion/completions/homeward,'
  say '    /usr/local/share/zsh/site-functions/_homeward,'
  say '    /etc/fish/completions/homeward.fish'
}

plan_connection() {
  if [ -n "$flag_passphrase" ]; then
    say "  connect to the configuration server $flag_address"
  elif [ -n "$flag_address" ]; then
    say "  open the Host Config Interface, to connect to the configuration server $flag_address"
  fi
}

plan_service() {
  local unit
  unit=$(unit_of "$role")
  if ! has_systemd; then
    say "  start nothing, since there is no systemd here; by hand: $(line_to_start)"
  elif [ "$flag_start" = n ]; then
    say "  enable $unit, and not start it"
  elif needs_server && [ -z "$flag_address" ]; then
    say "  enable $unit, and start it once there is a configuration server"
  elif needs_disks; then
    say "  enable $unit, and start it once drscout.conf names its disks (MachineDisks)"
  elif [ "$change" = upgrade ] && [ "$(state_of_service)" = inactive ] && [ -z "$flag_start" ]; then
    say "  enable $unit, and leave it stopped as it is"
  elif [ "$change" = new ]; then
    say "  enable and start $unit"
  else
    say "  enable $unit, and restart it unless this release runs already"
  fi
}
