# shellcheck shell=bash disable=SC2154
# What has to be done besides files: the initramfs, and what runs now.

# From here on the initramfs does not fit the files, until it has been rebuilt.
mark_due() {
  { : >"$state/initramfs-due" && sync "$state/initramfs-due"; } || fail "$state cannot be written"
}

finish() {
  sync -f "$top/etc" 2>/dev/null
  ensure_volumes_seen
  rebuild_initramfs
  rm -f "$state/initramfs-due"
  tell_services
}

# What LVM cannot see any more would not be there at the next boot: then everything goes back at once.
ensure_volumes_seen() {
  [ "$top" = '' ] && [ "$revert" = no ] && command -v lvm >/dev/null || return 0
  local name seen
  seen=$(lvm pvs --noheadings -o pv_name 2>/dev/null | while read -r name; do kernel_name "$name"; done)
  for name in $(own_physical_volumes); do
    printf '%s\n' "$seen" | grep -qx "$name" && continue
    say "LVM does not see /dev/$name any more, which this host uses: everything is taken back"
    # shellcheck disable=SC2034 # they are the whole script's
    planned=() notes=() revert=yes yes=yes
    rm -rf "$work/new"
    take_back
    exit 1
  done
}

# What rebuilds the initramfs here, in `rebuilder`; empty when that is left to somebody else.
find_rebuilder() {
  rebuilder=()
  if [ -n "$rebuild" ]; then
    rebuilder=("$rebuild")
  elif [ "$top" != '' ]; then
    return
  elif command -v dracut >/dev/null; then
    rebuilder=(dracut -f --regenerate-all)
  elif command -v update-initramfs >/dev/null; then
    rebuilder=(update-initramfs -u -k all)
  fi
}

say_rebuild_left() {
  if [ "$top" != '' ]; then
    say "The initramfs below $root is left alone: rebuild it there, for example by"
    say "chroot $root dracut -f --regenerate-all"
  else
    say 'There is neither dracut nor update-initramfs: rebuild the initramfs, if there is one'
  fi
}

rebuild_initramfs() {
  local rebuilder
  find_rebuilder
  if [ ${#rebuilder[@]} -eq 0 ]; then
    say_rebuild_left
    return
  fi
  say "Rebuilding the initramfs: ${rebuilder[*]}"
  # Not by the lock of ours: what it starts may live on.
  "${rebuilder[@]}" >"$work/rebuild" 2>&1 9>&- && return
  tail -n 20 "$work/rebuild" >&2
  fail "the initramfs was not rebuilt (${rebuilder[*]}): the files are in place, but do not hold at boot;
mend what it says, for example make room in /boot, and run this again"
}

tell_services() {
  [ "$top" = '' ] || return 0
  if command -v udevadm >/dev/null && [ -d /run/udev ]; then
    udevadm control --reload && udevadm trigger --action=change --subsystem-match=block
  fi
  if command -v systemctl >/dev/null && [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    ! systemctl is-active --quiet multipathd || systemctl reload multipathd
  fi
  return 0
}

say_restart() {
  local devices
  [ "$revert" = no ] || find_used
  devices=$(foreign_devices | sort -u | tr '\n' ' ')
  if [ -n "$devices" ]; then
    say "A restart is needed, since these are active although this host does not use them: ${devices% }"
  else
    say 'No restart is needed.'
  fi
}
