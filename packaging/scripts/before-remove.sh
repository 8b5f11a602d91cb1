# Before the files go; not when they make room for another version.
if [ -d /run/systemd/system ]; then
  for unit in /usr/lib/systemd/system/homeward-*.service; do
    [ -e "$unit" ] || continue
    systemctl --quiet disable --now "${unit##*/}" || true
  done
fi
