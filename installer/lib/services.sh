# shellcheck shell=bash disable=SC2034,SC2154 # shared with the files that it is sourced with
# The units of this host: laid, started, watched until the service is really up, and put back. Sourced.

# place_units RELEASE-TREE: those of this host's role, whichever directory they were written for.
place_units() {
  local file name
  while IFS= read -r file; do
    name=$(basename "$file")
    render "$file" | place_text "$unit_directory/$name" 0644 || exit
  done < <(unit_files "$1")
  place_system_files "$1"
  share_config
  place_drop_in "$1"
  if has_systemd; then systemctl daemon-reload >/dev/null 2>&1; fi
  return 0
}

# What drscout.conf names (the retention volume …), for the service manager to wait for and to open.
place_drop_in() {
  local -a units=()
  [ -z "$root" ] || units=(--units "$root$unit_directory")
  NODE_COMPILE_CACHE='' "$1/bin/homeward" config service --write \
    --config "$root$directory/Vx/etc/drscout.conf" ${units[@]+"${units[@]}"} >/dev/null 2>"$errors" 9>&- ||
    warn "the places that drscout.conf names are not in the unit: $(head -n 1 "$errors")"
}

unit_files() {
  find "$1/systemd" -maxdepth 1 -name "homeward-$(role_word "$role").*" 2>/dev/null
}

# render FILE: with the directory that was chosen.
render() {
  sed -e "s|@VX@|$directory/Vx|g" -e "s|@DIR@|$directory|g" "$1"
}

# Users, directories of /run, rotation of file logs: name in the release, and on the host.
system_files() {
  cat <<'END'
homeward.sysusers.conf /etc/sysusers.d/homeward.conf
homeward.tmpfiles.conf /etc/tmpfiles.d/homeward.conf
homeward.logrotate /etc/logrotate.d/homeward
END
}

place_system_files() {
  local name path
  while read -r name path; do
    [ -f "$1/systemd/$name" ] && render "$1/systemd/$name" | place_text "$path" 0644
  done < <(system_files)
  [ -z "$root" ] || return 0
  make_account >/dev/null 2>&1 || warn 'the user and group homeward could not be made'
  if command -v systemd-tmpfiles >/dev/null; then
    systemd-tmpfiles --create /etc/tmpfiles.d/homeward.conf >/dev/null 2>&1
  else
    install -d -m 0770 -g homeward /var/log/homeward && install -d -m 0755 /var/lib/homeward
  fi
  return 0
}

# The group is who may use the control socket, and rotates logs; a host without systemd has it, too.
make_account() {
  if command -v systemd-sysusers; then
    systemd-sysusers /etc/sysusers.d/homeward.conf
    return
  fi
  getent group homeward || groupadd --system homeward || return
  getent passwd homeward || useradd --system --gid homeward --home-dir /var/lib/homeward \
    --no-create-home --shell /usr/sbin/nologin homeward
}

# state_of_service: active, inactive, failed, activating … or none without a service manager.
state_of_service() {
  has_systemd || { echo none && return; }
  systemctl is-active "$(unit_of "$role")" 2>/dev/null || true
}

# Longer than the unit's own limits: it is the service manager that gives up first.
readonly start_seconds=330

# bring_up VERB: start or restart; fails when the service is not up then. It is ready when it says so itself,
# and the service manager waits for that.
bring_up() {
  local unit
  unit=$(unit_of "$role")
  systemctl reset-failed "$unit" >/dev/null 2>&1
  timeout "$start_seconds" systemctl "$1" "$unit" >/dev/null 2>&1 9>&-
  [ "$(state_of_service)" = active ]
}

# An upgrade that was killed may have switched without restarting; a service that is current is left alone.
runs_this_release() {
  local pid
  pid=$(systemctl show -p MainPID --value "$(unit_of "$role")" 2>/dev/null)
  case ${pid:-0} in 0 | *[!0-9]*) return 1 ;; esac
  case $(readlink "/proc/$pid/exe") in
    "$directory/Vx/releases/$release_name"/*) return 0 ;;
  esac
  return 1
}

# What it said last is nearly always the reason.
show_journal() {
  local unit
  unit=$(unit_of "$role")
  say "What $unit said last:"
  {
    journalctl --no-pager -q -o cat -n 12 -u "$unit" 2>/dev/null ||
      systemctl status --no-pager -n 12 "$unit" 2>/dev/null
  } | while IFS= read -r line; do say "    $line"; done
}

# A mobility service and a process server are nothing without a configuration server.
needs_server() {
  case $role in
    Agent | ProcessServer) [ -z "$(ini_value ConfigServerAddress "$root$directory/Vx/etc/drscout.conf")" ] ;;
    *) return 1 ;;
  esac
}

# A mobility service serves disks that nobody can guess.
needs_disks() {
  [ "$role" = Agent ] && [ -z "$(ini_value MachineDisks "$root$directory/Vx/etc/drscout.conf")" ]
}

# Sets `service`: what the last words say of it.
start_service() {
  local unit
  unit=$(unit_of "$role")
  if ! has_systemd; then
    service='by hand'
    return
  fi
  systemctl enable "$unit" >/dev/null 2>&1 || warn "$unit could not be enabled: it will not start at boot"
  if [ "$flag_start" = n ]; then
    service='not started, as -s n says'
  elif needs_server; then
    service='waits for a configuration server'
  elif needs_disks; then
    service='waits for its disks: MachineDisks is empty'
  elif [ "$change" = upgrade ] && [ "$was" = inactive ] && [ -z "$flag_start" ]; then
    service='not started, as it was before'
  else
    say "Starting $unit"
    start_or_go_back
  fi
}

start_or_go_back() {
  local verb=start
  [ "$change" = new ] || verb=restart
  if runs_this_release; then verb=start; fi
  if bring_up "$verb"; then
    service=running
    return
  fi
  show_journal
  if [ -n "$previous_release" ]; then
    warn "$new_version did not come up"
    exit "$exit_not_started" # `undo` takes it back
  fi
  service='did not start'
}

open_firewall() {
  local port
  [ -n "$flag_firewall" ] || return 0
  for port in $(ports_of_role); do
    if command -v firewall-cmd >/dev/null && firewall-cmd --state >/dev/null 2>&1; then
      firewall-cmd -q --permanent --add-port="$port/tcp" && firewall-cmd -q --reload &&
        say "firewalld: port $port is open"
    elif command -v ufw >/dev/null && ufw status 2>/dev/null | grep -q '^Status: active'; then
      ufw allow "$port/tcp" >/dev/null && say "ufw: port $port is open"
    else
      say "No firewall that is known here runs; port $port is left as it is."
    fi
  done
  [ -n "$(ports_of_role)" ] || say "A $(role_title "$role") listens on no port: nothing to open."
}

# A configuration server that may not have the usual port takes 8443.
ports_of_role() {
  local own
  own=$(ini_value ConfigServerPort "$root$directory/Vx/etc/drscout.conf")
  case $role,${own:-443} in
    ConfigServer,*) echo "${own:-443}" ;;
    ProcessServer,*) echo 9443 ;;
    AllInOne,443) echo 443 8443 9443 ;;
    AllInOne,*) echo "$own" 9443 ;;
  esac
}
