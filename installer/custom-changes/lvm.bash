# shellcheck shell=bash disable=SC2154
# LVM sees the physical volumes of this host and nothing else: by the devices file where the distribution
# goes by it (EL 9 and later), by global_filter before.

has_program() {
  local directory
  for directory in usr/sbin sbin usr/bin bin; do [ -e "$top/$directory/$1" ] && return 0; done
  return 1
}

# `rhel 9`: the family and the major version.
distribution() {
  (
    ID='' ID_LIKE='' VERSION_ID='' # the file may leave them out
    # shellcheck disable=SC1091
    [ -r "$top/etc/os-release" ] && . "$top/etc/os-release"
    case " $ID $ID_LIKE " in
      *' rhel '* | *' centos '* | *' fedora '*) printf 'rhel %s\n' "${VERSION_ID%%.*}" ;;
      *) printf '%s %s\n' "${ID:-unknown}" "${VERSION_ID%%.*}" ;;
    esac
  )
}

# Where it is used unless lvm.conf says no.
has_devices_file() {
  local family version
  read -r family version < <(distribution)
  [ "$family" = rhel ] && [ "${version:-0}" -ge 9 ] 2>/dev/null && has_program lvmdevices
}

# From 2.03.12 on LVM looks at a device while udev still works on it, before it has the names that a filter
# goes by: with a filter, volume groups would not be activated at boot. There, too, the devices file is the
# way.
looks_within_udev() {
  grep -qs -e --vgonline "$top"/lib/udev/rules.d/69-*lvm*.rules "$top"/usr/lib/udev/rules.d/69-*lvm*.rules
}

plan_lvm() {
  if ! has_program lvm && [ ! -d "$top/etc/lvm" ]; then
    notes+=('LVM is not installed: nothing to do for it')
    return
  fi
  local volumes name
  volumes=$(own_physical_volumes)
  if [ -z "$volumes" ] && root_is_logical; then
    fail "the system below $root lies on LVM, and from here nobody can tell on which devices: run this there"
  fi
  for name in $volumes; do
    case $(stable_name "$name") in
      "/dev/$name") notes+=("/dev/$name, which LVM of this host uses, has no name that stays") ;;
    esac
  done
  if has_devices_file; then
    plan_devices_file "$volumes"
    plan_lvm_conf use_devicesfile ''
  elif looks_within_udev; then
    plan_devices_file "$volumes"
    plan_lvm_conf use_devicesfile 'use_devicesfile = 1'
  else
    plan_lvm_conf global_filter "global_filter = [ $(global_filter "$volumes") ]"
  fi
}

# An image has no /sys that tells: then what its fstab says of the root counts.
root_is_logical() {
  local device
  device=$(awk '/^[^#]/ && $2 == "/" { print $1 }' "$top/etc/fstab" 2>/dev/null)
  case $device in
    /dev/disk/*) return 1 ;;
    /dev/*/*) [ ! -e "$top/sys/class/block" ] ;;
    *) return 1 ;;
  esac
}

# Names that an earlier run has let through stay: what is not mounted today may be this host's own all the
# same.
global_filter() {
  local name
  {
    for name in $1; do
      printf '"a|^%s$|"\n' "$(stable_name "$name" | sed 's|[^A-Za-z0-9/_:=@-]|.|g')"
    done
    ours_in "$top/etc/lvm/lvm.conf" | grep -o '"a|[^"]*|"'
  } | sort -u | awk '{ printf "%s%s", (NR > 1 ? ", " : ""), $0 } END { if (NR > 0) printf ", " }'
  printf '"r|.*|"'
}

# Comments out what sets the key $1 now and, where there is a line $2, puts that in the section `devices`. A
# devices file is used unless use_devicesfile says no, so that is taken out only where it does. What
# lvmlocal.conf says would go over all that.
plan_lvm_conf() {
  local key=$1 line=$2 path=/etc/lvm/lvm.conf plain=$work/lvm.conf
  stands_alone "$key" /etc/lvm/lvmlocal.conf
  stands_alone "$key" "$path"
  plan_lvm_local "$key" "$line"
  [ -f "$top$path" ] || [ -n "$line" ] || return 0
  plain_of "$path" >"$plain"
  plan "$path"
  without_key "$key" "$line" <"$plain" | with_line "$line" >"$(new_of "$path")"
}

# stands_alone KEY PATH: what sets the key has a line of its own, which can become a comment.
stands_alone() {
  local sets="$1[[:space:]]*=" line
  line=$(sed 's|#.*||' "$top$2" 2>/dev/null |
    grep -nE "[^[:space:]A-Za-z0-9_]$sets|[^[:space:]].*[[:space:]]$sets" |
    grep -vE -m 1 "^[0-9]+:[[:space:]]*devices/$sets" | cut -d: -f1)
  [ -z "$line" ] ||
    fail "nothing was changed: $2 sets $1 in its line $line behind other words. Give it a line of its own there, and run this again."
}

plan_lvm_local() {
  local path=/etc/lvm/lvmlocal.conf plain=$work/lvmlocal.conf
  [ -f "$top$path" ] || return 0
  plain_of "$path" >"$plain"
  without_key "$1" "$2" <"$plain" >"$plain.new"
  cmp -s "$plain" "$plain.new" && cmp -s "$plain" "$top$path" && return
  plan "$path"
  cp "$plain.new" "$(new_of "$path")"
}

# without_key KEY LINE: lines that set the key become comments; without a line, only those that say no.
without_key() {
  if [ -z "$2" ]; then
    sed "s|^[ \t]*\(devices/\)\{0,1\}$1[ \t]*=[ \t]*0|#homeward# &|"
    return
  fi
  awk -v key="$1" '
    function depth_of(text) {
      gsub(/"[^"]*"/, "", text) # brackets of patterns do not count
      return gsub(/\[/, "", text) - gsub(/\]/, "", text)
    }
    depth > 0 { print "#homeward# " $0; depth += depth_of($0); next }
    $0 ~ "^[ \t]*(devices/)?" key "[ \t]*=" { print "#homeward# " $0; depth = depth_of($0); next }
    { print }
  '
}

# with_line LINE: behind the beginning of the section `devices`, which is made where there is none.
with_line() {
  if [ -z "$1" ]; then
    cat
    return
  fi
  awk -v line="$1" -v begin="$begin_mark" -v end="$end_mark" '
    function block() {
      return "\t" begin "\n\t" line "\n\t" end
    }
    { print }
    !done && /^[ \t]*devices[ \t]*\{[ \t]*$/ { print block(); done = 1 }
    END { if (!done) print begin "\ndevices {\n\t" line "\n}\n" end }
  '
}

# The file as LVM writes it. Without it LVM would look at everything, so it is made also where it has no
# entry.
plan_devices_file() {
  local path=/etc/lvm/devices/system.devices new name pvid
  plan "$path"
  new=$(new_of "$path")
  if [ -f "$top$path" ]; then
    cp "$top$path" "$new"
  else
    printf '%s\n' '# LVM uses devices listed in this file.' 'VERSION=1.1.1' >"$new"
  fi
  for name in $1; do
    pvid=$(pv_uuid "$name")
    if [ -n "$pvid" ] && grep -q "PVID=$pvid" "$new"; then continue; fi
    grep -q "DEVNAME=/dev/$name " "$new" && continue
    if add_by_lvm "$new" "$name"; then continue; fi
    [ -z "$(tail -c 1 "$new")" ] || echo >>"$new"
    device_entry "$name" "$pvid" >>"$new"
  done
}

# On the host itself LVM knows best how to tell a device; it works on a copy.
add_by_lvm() {
  [ "$top" = '' ] && command -v lvm >/dev/null || return 1
  mkdir -p "$work/lvm/devices" && cp "$1" "$work/lvm/devices/system.devices" || return 1
  LVM_SYSTEM_DIR=$work/lvm lvm lvmdevices -y --config devices/use_devicesfile=1 --adddev "/dev/$2" \
    >/dev/null 2>&1 9>&- && cp "$work/lvm/devices/system.devices" "$1"
}

# As LVM spells it: without hyphens.
pv_uuid() {
  local link
  for link in "$top"/dev/disk/by-id/lvm-pv-uuid-*; do
    leads_to "$link" "$1" || continue
    link=${link##*/lvm-pv-uuid-}
    printf '%s\n' "${link//-/}" && return
  done
}

device_entry() {
  local name=$1 pvid=${2:-.} disk type=devname id=/dev/$1 part='' place
  disk=$(whole_disk "$name")
  place=$top/sys/class/block
  [ "$disk" = "$name" ] || part=" PART=$(cat "$place/$name/partition")"
  case $(dm_uuid "$name") in
    mpath-* | part*-mpath-*) type=mpath_uuid id=$(dm_uuid "$name") ;;
    CRYPT-*) type=crypt_uuid id=$(dm_uuid "$name") ;;
    '')
      local wwid
      wwid=$(cat "$place/$disk/device/wwid" 2>/dev/null || cat "$place/$disk/wwid" 2>/dev/null)
      # Others are spelled in other ways by other versions; by its name and PVID every version finds it.
      case $wwid in naa.* | eui.*) type=sys_wwid id=$wwid ;; esac
      ;;
  esac
  printf 'IDTYPE=%s IDNAME=%s DEVNAME=/dev/%s PVID=%s%s\n' "$type" "$id" "$name" "$pvid" "$part"
}
