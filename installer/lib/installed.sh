# shellcheck shell=bash disable=SC2034,SC2154 # shared with the files that it is sourced with
# What is installed on this host, where, and how versions compare. Sourced.

readonly version_file=/usr/local/.vx_version
readonly unit_directory=/etc/systemd/system
readonly default_directory=/usr/local/ASR
# Where the rpm and the deb put the same programs; their package manager upgrades and removes them.
readonly package_directory=/opt/homeward

# version_of TREE: of a release tree, or nothing.
version_of() {
  sed -n 's/^ *"version": *"\([0-9A-Za-z.+-]*\)".*/\1/p' "$1/package.json" 2>/dev/null | head -n 1
}

# ini_value KEY FILE
ini_value() {
  sed -n "s/^[[:space:]]*$1[[:space:]]*=[[:space:]]*//p" "$2" 2>/dev/null | head -n 1 | tr -d '\r"'
}

# find_installed [DIR]: sets installed_directory, installed_role, installed_version. Without a version there
# is at most the beginning of an installation. `current` is the truth; the file is what tells where to look.
find_installed() {
  local directory
  installed_directory='' installed_role='' installed_version=''
  for directory in "$(ini_value INSTALL_DIR "$root$version_file")" "$@"; do
    [ -n "$directory" ] && [ -d "$root$directory/Vx" ] || continue
    installed_directory=$directory
    installed_version=$(version_of "$root$directory/Vx/current")
    installed_role=$(ini_value ROLE "$root$version_file")
    [ -n "$installed_role" ] || installed_role=$(ini_value Role "$root$directory/Vx/etc/drscout.conf")
    [ -n "$installed_version" ] && return
  done
}

refuse_package() {
  [ "$installed_directory" = "$package_directory" ] || return 0
  fail "$exit_conflict" "Homeward is installed here as a package of the distribution, in $package_directory" \
    "Use its package manager: dnf or apt $1 homeward. Data stays."
}

# compare_versions A B: -1, 0 or 1, by the rules of semantic versioning; 2.28 is 2.28.0.
compare_versions() {
  local a=${1%%+*} b=${2%%+*} at
  local -a left right
  IFS=. read -r -a left <<<"${a%%-*}.0.0"
  IFS=. read -r -a right <<<"${b%%-*}.0.0"
  for at in 0 1 2; do
    if ((10#${left[at]:-0} < 10#${right[at]:-0})); then echo -1 && return; fi
    if ((10#${left[at]:-0} > 10#${right[at]:-0})); then echo 1 && return; fi
  done
  compare_prereleases "$(prerelease_of "$a")" "$(prerelease_of "$b")"
}

prerelease_of() {
  case $1 in *-*) printf '%s' "${1#*-}" ;; esac
}

# A version with one comes before the version without.
compare_prereleases() {
  if [ "$1" = "$2" ]; then
    echo 0
  elif [ -z "$1" ]; then
    echo 1
  elif [ -z "$2" ]; then
    echo -1
  elif [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; then
    echo -1
  else
    echo 1
  fi
}

# The names of one role: word for commands, unit and directory.
role_word() {
  case $1 in
    Agent) echo mobility ;;
    MasterTarget) echo master-target ;;
    ConfigServer) echo config-server ;;
    ProcessServer) echo process-server ;;
    AllInOne) echo all-in-one ;;
  esac
}

role_title() {
  case $1 in
    Agent) echo 'Mobility Service' ;;
    MasterTarget) echo 'Master Target' ;;
    ConfigServer) echo 'configuration server' ;;
    ProcessServer) echo 'process server' ;;
    AllInOne) echo 'all-in-one' ;;
  esac
}

unit_of() {
  echo "homeward-$(role_word "$1").service"
}

# data_of ROLE CONFIG-FILE: where this role keeps who it is.
data_of() {
  local set
  set=$(ini_value DataDirectory "$2")
  if [ -n "$set" ]; then
    echo "$set"
  elif [ "$1" = AllInOne ]; then
    echo /var/lib/homeward
  else
    echo "/var/lib/homeward/$(role_word "$1")"
  fi
}
