# shellcheck shell=bash disable=SC2034,SC2154 # shared with the files that it is sourced with
# What is installed on this host, where, and how versions compare. Sourced.

readonly version_file=/usr/local/.vx_version
readonly unit_directory=/etc/systemd/system
# What `homeward config service` writes beside a unit.
readonly our_drop_in=retention.conf
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

# foreign_in DIR: names what is there in place of ours, or fails. What of ours lies around the releases are
# links; the version file comes after their directory, and goes before it.
foreign_in() {
  local name vx=$1/Vx
  [ -n "$1" ] && [ -d "$root$vx" ] || return 1
  for name in bin runtime; do
    [ -e "$root$vx/$name" ] && [ ! -L "$root$vx/$name" ] && echo "$vx/$name" && return
  done
  [ "$(ini_value INSTALL_DIR "$root$version_file")" = "$1" ] && [ ! -d "$root$vx/releases" ] &&
    echo "$version_file"
}

# Two products in one place are none: what leads to the programs of one would lead to those of the other.
refuse_foreign() {
  local found
  found=$(foreign_in "$1") || return 0
  fail "$exit_conflict" "$found is there, and is not Homeward's: the software that it replaces, or another" \
    'Nothing was changed. Remove it first, with its own uninstaller; what that leaves of it by hand.'
}

# has_programs DIR: more of Homeward than what a removal leaves.
has_programs() {
  local unit vx=$root$1/Vx
  [ ! -d "$vx/releases" ] && [ ! -L "$vx/current" ] && [ ! -L "$vx/bin" ] || return 0
  for unit in $(our_units); do
    [ ! -e "$root$unit_directory/$unit" ] || return 0
  done
  return 1
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

# By name: somebody may have units of their own that are called alike.
our_units() {
  local role
  for role in Agent MasterTarget ConfigServer ProcessServer AllInOne; do unit_of "$role"; done
}

# What somebody else has put beside our drop-in.
drop_ins_of_others() {
  local unit path
  for unit in $(our_units); do
    for path in "$root$unit_directory/$unit.d"/*; do
      [ -e "$path" ] && [ "$(basename "$path")" != "$our_drop_in" ] && echo "${path#"$root"}"
    done
  done
  return 0
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
