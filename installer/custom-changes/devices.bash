# shellcheck shell=bash disable=SC2154
# Which block devices this host itself uses, and by which names they can be told: from /sys, /proc and /dev
# alone, so that it works the same on a recorded system. Reads $top.

declare -A used=() # kernel names: sda2, dm-0, md127

# Whatever a mount, swap, btrfs, fstab or crypttab uses, and all that lies below it.
find_used() {
  local name
  while read -r name; do
    [ -z "$name" ] || use "$name"
  done < <(
    mounted_devices
    named_devices < <(awk 'NR > 1 { print $1 }' "$top/proc/swaps" 2>/dev/null)
    named_devices < <(awk '/^[^#]/ { print $1 }' "$top/etc/fstab" 2>/dev/null)
    named_devices < <(awk '/^[^#]/ && NF > 1 { print $2 }' "$top/etc/crypttab" 2>/dev/null)
    local device
    for device in "$top"/sys/fs/btrfs/*/devices/*; do [ -e "$device" ] && say "${device##*/}"; done
  )
}

# A file system with a device number of its own is found by that, btrfs by its source.
mounted_devices() {
  local number source link
  [ -r "$top/proc/self/mountinfo" ] || return 0
  awk '{ for (i = 7; i <= NF && $i != "-"; i++); print $3, $(i + 2) }' "$top/proc/self/mountinfo" |
    while read -r number source; do
      link=$(readlink "$top/sys/dev/block/$number") && say "${link##*/}" && continue
      printf '%s\n' "$source" | named_devices
    done
}

# Kernel names of what fstab and the like call /dev/…, UUID=… or LABEL=…
named_devices() {
  local spec
  while read -r spec; do
    case $spec in
      UUID=* | LABEL=* | PARTUUID=* | PARTLABEL=*)
        local kind=${spec%%=*} value=${spec#*=}
        value=${value//\"/}
        kernel_name "/dev/disk/by-${kind,,}/$value"
        ;;
      /dev/*) kernel_name "$spec" ;;
    esac
  done
}

kernel_name() {
  local name target
  target=$(readlink "$top$1") || target=$1
  name=${target##*/}
  # LVM's second spelling, /dev/VG/LV, and /dev/mapper/… are links to dm-N; anything else is a kernel name.
  [ -e "$top/sys/class/block/$name" ] && printf '%s\n' "$name"
}

use() {
  local name=$1 below
  [ -z "${used[$name]:-}" ] || return 0
  [ -e "$top/sys/class/block/$name" ] || return 0
  used[$name]=yes
  while read -r below; do use "$below"; done < <(slaves_of "$name")
}

slaves_of() {
  local link
  for link in "$top/sys/class/block/$1/slaves"/*; do [ -L "$link" ] && say "${link##*/}"; done
}

dm_uuid() { [ -r "$top/sys/class/block/$1/dm/uuid" ] && say "$(<"$top/sys/class/block/$1/dm/uuid")"; }

# The physical volumes of every volume group that is in use.
own_physical_volumes() {
  local name groups=' ' device group below
  declare -A found=()
  for name in "${!used[@]}"; do
    group=$(dm_uuid "$name")
    case $group in LVM-*) groups+="${group:4:32} " ;; esac
  done
  for device in "$top"/sys/class/block/dm-*; do
    [ -e "$device" ] || continue
    name=${device##*/}
    group=$(dm_uuid "$name")
    case $group in LVM-*) ;; *) continue ;; esac
    case $groups in *" ${group:4:32} "*) ;; *) continue ;; esac
    while read -r below; do
      # A logical volume below another one, as of a thin pool, is no physical volume.
      case $(dm_uuid "$below") in LVM-*) ;; *) found[$below]=yes ;; esac
    done < <(slaves_of "$name")
  done
  # One that holds nothing yet belongs to its group all the same; only LVM itself knows it.
  if [ "$top" = '' ] && command -v lvm >/dev/null; then
    while IFS='|' read -r device group; do
      group=${group//-/}
      case $groups in *" ${group//[[:space:]]/} "*) ;; *) continue ;; esac
      device=$(kernel_name "${device//[[:space:]]/}") && found[$device]=yes
    done < <(lvm pvs --noheadings --separator '|' -o pv_name,vg_uuid 2>/dev/null)
  fi
  [ ${#found[@]} = 0 ] || printf '%s\n' "${!found[@]}" | sort -V
}

# The whole disk of a partition, or the device itself.
whole_disk() {
  local name=$1 place
  [ -e "$top/sys/class/block/$name/partition" ] || { say "$name" && return; }
  place=$(readlink "$top/sys/class/block/$name") && place=${place%/*} && say "${place##*/}"
}

# Every name of a device below /dev/disk/by-id, without those that content gives, which a replica may carry
# as well.
identity_names() {
  local link
  for link in "$top"/dev/disk/by-id/*; do
    case $link in */lvm-pv-uuid-* | */dm-name-*) continue ;; esac
    leads_to "$link" "$1" && printf '%s\n' "/dev/disk/by-id/${link##*/}"
  done
}

leads_to() {
  local target
  [ -L "$1" ] && target=$(readlink "$1") && [ "${target##*/}" = "$2" ]
}

# The one that is best to tell it by; by its place where it has no identity, by the kernel's name where all
# else fails.
stable_name() {
  local names=() name kind link place=$top/sys/class/block/$1
  mapfile -t names < <(identity_names "$1")
  for kind in dm-uuid- md-uuid- wwn- nvme-eui nvme- scsi-3 scsi- ata- virtio- ''; do
    for name in "${names[@]}"; do
      case $name in "/dev/disk/by-id/$kind"*) say "$name" && return ;; esac
    done
  done
  [ ! -r "$place/dm/name" ] || { say "/dev/mapper/$(<"$place/dm/name")" && return; }
  for link in "$top"/dev/disk/by-path/*; do
    leads_to "$link" "$1" && printf '%s\n' "/dev/disk/by-path/${link##*/}" && return
  done
  printf '%s\n' "/dev/$1"
}

# Devices that LVM, mdadm or multipath hold although this host does not use them.
foreign_devices() {
  local device name
  for device in "$top"/sys/class/block/dm-* "$top"/sys/class/block/md*; do
    [ -e "$device" ] || continue
    name=${device##*/}
    [ -z "${used[$name]:-}" ] || continue
    case $name in
      md*) [ -e "$device/md" ] && [ ! -e "$device/partition" ] && printf '%s\n' "/dev/$name" ;;
      *) case $(dm_uuid "$name") in
        LVM-*)
          # Parts of a group in use that nothing has open are this host's own.
          own_group "$(dm_uuid "$name")" || say "/dev/mapper/$(<"$device/dm/name")"
          ;;
        mpath-*) say "/dev/mapper/$(<"$device/dm/name")" ;;
      esac ;;
    esac
  done
}

own_group() {
  local name other
  for name in "${!used[@]}"; do
    other=$(dm_uuid "$name")
    [ "${other:0:36}" = "${1:0:36}" ] && return 0
  done
  return 1
}
