# shellcheck shell=bash disable=SC2154
# mdadm, multipath, udisks, os-prober, and the tables that name disks: what each of their files is to contain.

# Only arrays that are listed are assembled; those in use are listed.
plan_mdadm() {
  if ! has_program mdadm; then
    notes+=('mdadm is not installed: nothing to do for it')
    return
  fi
  local path=/etc/mdadm.conf plain=$work/mdadm.conf
  [ ! -d "$top/etc/mdadm" ] || path=/etc/mdadm/mdadm.conf
  plain_of "$path" >"$plain"
  plan "$path"
  {
    sed 's/^[[:space:]]*AUTO[[:space:]]/#homeward# &/I' "$plain"
    [ -z "$(tail -c 1 "$plain")" ] || echo
    printf '%s\n' "$begin_mark" "AUTO $(assembled_formats)"
    missing_arrays "$plain" "$top$path" | sort -u
    printf '%s\n' "$end_mark"
  } >"$(new_of "$path")"
}

# Sets of a BIOS RAID are assembled by way of a container, which has no name in /sys to list it by.
assembled_formats() {
  local name
  for name in "${!used[@]}"; do
    case $(cat "$top/sys/class/block/$name/md/metadata_version" 2>/dev/null) in
      external:*) printf -- '+imsm +ddf -all\n' && return ;;
    esac
  done
  printf -- '-all\n'
}

# Arrays in use that the file does not list itself, and those that an earlier run has listed.
missing_arrays() {
  local plain=$1 earlier=$2 name uuid
  for name in "${!used[@]}"; do
    [ -e "$top/sys/class/block/$name/md" ] || continue
    uuid=$(identity_names "$name" | sed -n 's|^.*/md-uuid-\([0-9a-f:]*\)$|\1|p')
    if [ -z "$uuid" ] || grep -qi "^[[:space:]]*ARRAY.*UUID=$uuid" "$plain"; then continue; fi
    printf 'ARRAY /dev/%s UUID=%s\n' "$name" "$uuid"
  done
  ours_in "$earlier" | grep '^ARRAY '
}

# Multipath takes the devices that this host uses through it, and no other.
plan_multipath() {
  local path=/etc/multipath/conf.d/homeward.conf name wwid
  if ! has_program multipathd && [ ! -e "$top/etc/multipath.conf" ]; then
    notes+=('multipath is not installed: nothing to do for it')
    return
  fi
  plan "$path"
  {
    printf '%s\n' "$begin_mark" '# A replica is told by the identity of its disk: nothing may lie over that.'
    printf 'blacklist {\n\twwid ".*"\n}\n'
    {
      for name in "${!used[@]}"; do
        wwid=$(dm_uuid "$name")
        case $wwid in mpath-*) printf '\twwid "^%s$"\n' "${wwid#mpath-}" ;; esac
      done
      grep '^[[:space:]]*wwid "^' "$top$path" 2>/dev/null
    } | sort -u | awk 'NR == 1 { print "blacklist_exceptions {" } { print } END { if (NR > 0) print "}" }'
    printf '%s\n' "$end_mark"
  } >"$(new_of "$path")"
}

# udisks, and with it desktops and their automounters, leaves disks alone that this host does not use itself.
plan_udev() {
  local path=/etc/udev/rules.d/90-homeward-replicas.rules name
  plan "$path"
  {
    printf '%s\n' "$begin_mark" '# Disks that this host does not use itself are replicas, or will be.'
    printf '%s\n' 'SUBSYSTEM!="block", GOTO="homeward_replicas_end"'
    printf '%s\n' 'KERNEL!="sd*|vd*|xvd*|nvme*|mmcblk*|dasd*|nbd*", GOTO="homeward_replicas_end"'
    {
      for name in $(own_disks); do own_disk_rule "$name"; done
      # A disk that an earlier run found in use stays one.
      grep -s 'GOTO="homeward_replicas_end"$' "$top$path" | grep '=="'
    } | sort -u
    printf '%s\n' 'ENV{UDISKS_IGNORE}="1"' 'LABEL="homeward_replicas_end"' "$end_mark"
  } >"$(new_of "$path")"
}

own_disks() {
  local name
  for name in "${!used[@]}"; do
    case $name in dm-* | md* | loop* | zram* | ram* | sr* | nbd*) ;; *) whole_disk "$name" ;; esac
  done | sort -u
}

# A partition has the name of its disk with -partN behind it.
own_disk_rule() {
  local name
  name=$(stable_name "$1")
  case $name in
    /dev/disk/*) printf 'SYMLINK=="%s|%s-part*", ' "${name#/dev/}" "${name#/dev/}" ;;
    *) printf 'KERNEL=="%s|%s[0-9]*|%sp[0-9]*", ' "$1" "$1" "$1" ;;
  esac
  printf 'GOTO="homeward_replicas_end"\n'
}

# os-prober mounts what it finds on every disk whenever the boot menu is made.
plan_grub() {
  local path=/etc/default/grub plain=$work/grub
  [ -f "$top$path" ] || return 0
  plain_of "$path" >"$plain"
  plan "$path"
  {
    sed 's/^[[:space:]]*\(export[[:space:]]\{1,\}\)\{0,1\}GRUB_DISABLE_OS_PROBER=/#homeward# &/' "$plain"
    [ -z "$(tail -c 1 "$plain")" ] || echo
    printf '%s\n' "$begin_mark" 'GRUB_DISABLE_OS_PROBER=true' "$end_mark"
  } >"$(new_of "$path")"
}

# /dev/sdb1 is another disk as soon as one is added before it.
plan_tables() {
  plan_table /etc/fstab 1
  plan_table /etc/crypttab 2
}

plan_table() {
  local path=$1 column=$2 plain line device uuid
  [ -f "$top$path" ] || return 0
  plain=$work/table
  plain_of "$path" >"$plain"
  plan "$path"
  while IFS= read -r line || [ -n "$line" ]; do
    device=$(printf '%s\n' "$line" | awk -v at="$column" '/^[^#]/ { print $at }')
    case $device in
      /dev/sd* | /dev/vd* | /dev/xvd* | /dev/hd* | /dev/nvme* | /dev/mmcblk*) uuid=$(only_uuid "$device") ;;
      *) uuid='' ;;
    esac
    if [ -z "$uuid" ]; then
      printf '%s\n' "$line"
    else
      printf '#homeward# %s\n%s\n' "$line" "$begin_mark"
      printf '%s\n' "$line" | sed "s|$device|UUID=$uuid|"
      printf '%s\n' "$end_mark"
    fi
  done <"$plain" >"$(new_of "$path")"
  # An end without a newline stays one where nothing else changes.
  ! cmp -s <(cat "$plain" && echo) "$work/new$path" || cp "$plain" "$work/new$path"
}

# The UUID of what a device holds; nothing, and a note, where another one has it, too.
only_uuid() {
  local link name=${1#/dev/} uuid=''
  for link in "$top"/dev/disk/by-uuid/*; do
    leads_to "$link" "$name" && uuid=${link##*/}
  done
  if [ -z "$uuid" ]; then return; fi
  if [ "$top" = '' ] && command -v blkid >/dev/null &&
    [ "$(blkid -t "UUID=$uuid" -o device 2>/dev/null | wc -l)" -gt 1 ]; then
    return
  fi
  printf '%s\n' "$uuid"
}
