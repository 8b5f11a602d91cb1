# shellcheck shell=bash disable=SC2034,SC2154 # shared with the files that it is sourced with
# What this host must have before anything is changed: rights, system, places, space. Sourced.

require_root() {
  [ "$(id -u)" -eq 0 ] || [ -n "$root" ] || [ -n "${flag_dry_run:-}" ] ||
    fail "$exit_not_root" "it has to run as root, and this is $(id -un 2>/dev/null || id -u)" \
      "Run it with sudo: sudo $0"
}

# The oldest C library that the Node of the release starts with.
readonly least_glibc=2.28

# Node itself would only say that a symbol of the C library is missing.
require_system() {
  local name glibc machine
  name=$(system_name)
  machine=$(uname -m)
  [ "$(uname -s)" = Linux ] || fail "$exit_refused" "this is $(uname -s), and Homeward is for Linux"
  if glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null); then
    glibc=${glibc##* }
    if [ "$(compare_versions "$glibc" "$least_glibc")" = -1 ]; then
      fail "$exit_refused" "$name has glibc $glibc, and Homeward needs $least_glibc or newer" \
        'Nothing was changed. It runs on EL 8, 9 and 10, Debian 11 and newer, Ubuntu 20.04 and newer.'
    fi
  else
    fail "$exit_refused" "$name has no GNU C library, and Homeward needs glibc $least_glibc or newer" \
      'Nothing was changed. It runs on EL 8, 9 and 10, Debian 11 and newer, Ubuntu 20.04 and newer.'
  fi
  "$source_tree/runtime/bin/node" --version >/dev/null 2>&1 ||
    fail "$exit_refused" "$source_tree/runtime/bin/node does not run here ($name on $machine)" \
      'Take the package for this kind of processor, and unpack it where programs may run (no noexec).'
}

system_name() {
  local file=$root/etc/os-release
  [ -f "$file" ] || file=/etc/os-release
  # shellcheck disable=SC1090 # shell by its definition: os-release(5)
  (unset PRETTY_NAME && . "$file" 2>/dev/null && printf '%s' "${PRETTY_NAME:-this system}")
}

has_systemd() {
  [ -d "$root/run/systemd/system" ] && command -v systemctl >/dev/null
}

tidy_path() {
  printf '%s' "$1" | sed -e 's|//*|/|g' -e 's|/\./|/|g' -e 's|\(.\)/$|\1|'
}

# problem_with_directory DIR: says what keeps Homeward from being installed there, and fails; or is silent.
problem_with_directory() {
  local path
  path=$(tidy_path "$1")
  case $path in
    [!/]*) echo 'it has to be an absolute path' ;;
    *[!A-Za-z0-9/._+-]*) echo 'only letters, digits and . _ + - can be in the path' ;;
    */.. | */../* | */.) echo 'the path leads back up' ;;
    / | /bin | /boot | /dev | /etc | /home | /lib | /lib64 | /mnt | /opt | /root | /sbin | /srv | /usr | /var)
      echo 'this is a directory of the system; give one below it'
      ;;
    /usr/local | /usr/bin | /usr/lib | /usr/lib64 | /usr/sbin | /usr/share | /var/lib | /var/log | /media)
      echo 'this is a directory of the system; give one below it'
      ;;
    "$package_directory" | "$package_directory"/*)
      echo 'this is where the rpm and the deb of Homeward go'
      ;;
    /proc/* | /sys/* | /dev/* | /run/* | /tmp/* | /var/tmp/* | /boot/* | /etc/* | /tmp | /run | /proc | /sys)
      echo 'what lies there does not stay, or is not for programs'
      ;;
    *)
      if [ -e "$root$path" ] && [ ! -d "$root$path" ]; then
        echo 'this is a file'
      else
        return 0
      fi
      ;;
  esac
  return 1
}

is_under() {
  case $1/ in "$2"/*) return 0 ;; esac
  return 1
}

# What is replaced while it runs would pull the floor from under its feet.
refuse_own_directory() {
  local target
  target=$(readlink -f "$root$1" 2>/dev/null || printf '%s' "$root$1")
  if is_under "$source_tree" "$target"; then
    fail "$exit_refused" "it runs from $source_tree, which is under the install directory $1" \
      "Unpack it elsewhere, for example in $(getent passwd 0 | cut -d: -f6 || echo /root), and run it there."
  fi
  if is_under "$target" "$(dirname "$source_tree")"; then
    fail "$exit_refused" "$1 is inside the unpacked package" 'Give another directory with -d.'
  fi
}

nearest_existing() {
  local path=$1
  while [ ! -e "$path" ]; do path=$(dirname "$path"); done
  printf '%s' "$path"
}

# require_places DIR: everything that will be written can be.
require_places() {
  local path existing needed free
  for path in "$1" /usr/local/bin "$version_file" "$unit_directory" /var/log /var/lib; do
    existing=$(nearest_existing "$root$path")
    is_writable "$existing" ||
      fail "$exit_no_space" "$existing cannot be written: $(why_not_written "$existing")" \
        'Nothing was changed. Make it writable, or choose another directory with -d.'
  done
  existing=$(nearest_existing "$root$1")
  needed=$((($(du -skx "$source_tree" | cut -f1) * 11) / 10 + 8192))
  free=$(df -Pk "$existing" | awk 'NR == 2 { print $4 }')
  [ "${free:-0}" -ge "$needed" ] ||
    fail "$exit_no_space" \
      "$1 needs $((needed / 1024)) MiB, and $((${free:-0} / 1024)) MiB are free on the volume of $existing" \
      'Nothing was changed. Make room, or choose another directory with -d.'
}

# Who only looks, with --dry-run, is told what root could do.
is_writable() {
  [ -w "$1" ] || { [ "$(id -u)" -ne 0 ] && [ -n "${flag_dry_run:-}" ] && ! is_mounted_read_only "$1"; }
}

is_mounted_read_only() {
  case ",$(findmnt -nro OPTIONS -T "$1" 2>/dev/null)," in *,ro,*) ;; *) return 1 ;; esac
}

why_not_written() {
  if is_mounted_read_only "$1"; then
    echo 'its file system is mounted read-only'
  else
    echo 'it is read-only'
  fi
}

# Held as long as this process lives, so that kill -9 leaves nothing behind. `errors` is a file beside it, for
# what called programs say.
take_lock() {
  local file=$root/run/homeward-install.lock
  errors=/dev/null
  [ -z "${flag_dry_run:-}" ] || return 0
  mkdir -p "$root/run" 2>/dev/null
  errors=$root/run/homeward-install.errors
  exec 9>"$file" || fail "$exit_no_space" "$file cannot be written"
  command -v flock >/dev/null || return 0
  flock -n 9 || fail "$exit_conflict" 'another installation or removal runs on this host' 'Wait for its end.'
}

# SELinux: programs that the service manager starts carry bin_t, wherever they lie.
label_programs() {
  has_selinux || return 0
  if [ -z "$root" ] && command -v semanage >/dev/null; then
    semanage fcontext -a -t bin_t "$(program_pattern "$1")" 2>/dev/null ||
      semanage fcontext -m -t bin_t "$(program_pattern "$1")" 2>/dev/null ||
      warn "SELinux: the rule for $(program_pattern "$1") could not be added"
  fi
  if command -v restorecon >/dev/null; then restorecon -RF "$root$1" 2>/dev/null; fi
  if ! command -v semanage >/dev/null && command -v chcon >/dev/null; then
    find "$root$1/Vx/releases" -path '*/bin/*' -type f -exec chcon -t bin_t {} + 2>/dev/null
  fi
  return 0
}

label_surroundings() {
  has_selinux && command -v restorecon >/dev/null || return 0
  restorecon -F "$root$version_file" "$root/usr/local/bin/homeward" 2>/dev/null
  find "$root/etc" -name 'homeward*' -exec restorecon -F {} + 2>/dev/null
  return 0
}

forget_labels() {
  has_selinux && [ -z "$root" ] && command -v semanage >/dev/null || return 0
  semanage fcontext -d "$(program_pattern "$1")" 2>/dev/null
  return 0
}

has_selinux() {
  command -v selinuxenabled >/dev/null && selinuxenabled
}

program_pattern() {
  printf '%s' "$1/Vx/releases/[^/]+/(bin|runtime/bin|installer)(/.*)?"
}
