# shellcheck shell=bash disable=SC2034,SC2154 # shared with the files that it is sourced with
# What the installer and the uninstaller say, how they end, and how they are interrupted. Sourced.

# docs/installing.md and --help list them; where `homeward` has the same case it has the same number.
exit_check_failed=1
exit_usage=2
exit_declined=3
exit_conflict=5
exit_refused=6
exit_not_connected=7
exit_no_space=8
exit_not_started=9
exit_bug=70
exit_not_root=77

# The host's paths begin with this. Empty but for tests, which install into a directory and bring programs
# that stand for the service manager.
root=${HOMEWARD_INSTALL_ROOT:-}

# Set once there is a place for it; what was said before is in the terminal alone.
log_file=

say() {
  printf '%s\n' "$*" 2>/dev/null
  to_log "$*"
}

warn() {
  printf 'warning: %s\n' "$*" >&2 2>/dev/null
  to_log "warning: $*"
}

to_log() {
  [ -n "$log_file" ] || return 0
  printf '%s %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$*" >>"$log_file" 2>/dev/null
  return 0
}

# fail STATUS WHAT [WHAT-TO-DO]: one line each, and the end.
fail() {
  printf '%s: %s\n' "$program" "$2" >&2
  [ -z "${3:-}" ] || printf '%s: %s\n' "$program" "$3" >&2
  to_log "ended with $1: $2"
  exit "$1"
}

usage_error() {
  fail "$exit_usage" "$1" "${2:-See $program --help for the flags.}"
}

# What is undone when it ends early. Each step that begins something names what takes it back.
undo=

ended() {
  local status=$?
  trap - EXIT
  # Whoever was told to stop is not asked twice; children started from here inherit that.
  trap '' INT TERM HUP
  if [ -n "$undo" ]; then $undo; fi
  exit "$status"
}

interrupted() {
  trap '' INT TERM HUP
  printf '\n' >&2
  printf '%s: interrupted by SIG%s\n' "$program" "$1" >&2
  to_log "interrupted by SIG$1"
  exit $((128 + $2))
}

handle_signals() {
  # A reader of our words that is gone (a closed pipe, a dropped connection) must not end us in the middle.
  trap '' PIPE
  trap ended EXIT
  trap 'interrupted INT 2' INT
  trap 'interrupted TERM 15' TERM
  trap 'interrupted HUP 1' HUP
}

# Whatever the shell that started us has set: messages of called programs are read, sizes are compared.
settle_environment() {
  user_locale=("LC_ALL=${LC_ALL:-}" "LANG=${LANG:-}" "LC_CTYPE=${LC_CTYPE:-}")
  unset LANGUAGE CDPATH POSIXLY_CORRECT
  { export LC_ALL=C.UTF-8; } 2>/dev/null # EL 7 does not know it, and is told why elsewhere
  export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
  umask 022
}

# For programs with a screen of their own: they draw what the user's terminal can show.
# An empty LC_ALL counts as none.
in_user_locale() {
  env "${user_locale[@]}" "$@"
}
