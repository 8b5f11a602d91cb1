# After files are unpacked. $step is install or upgrade.
[ -L /usr/local/ASR ] || { mkdir -p /usr/local && ln -s /opt/homeward /usr/local/ASR; }

# What other tools look for. The role is what the last configuration said.
role=
if [ -e /usr/local/.vx_version ]; then role=$(sed -n 's/^ROLE=//p' /usr/local/.vx_version); fi
if [ -z "$role" ] && [ -e /opt/homeward/Vx/etc/drscout.conf ]; then
  role=$(sed -n 's/^Role *= *//p' /opt/homeward/Vx/etc/drscout.conf)
fi
printf 'VERSION=%s\nROLE=%s\nINSTALL_DIR=/opt/homeward\nBUILD=%s\nPLATFORM=\n' '@VERSION@' "$role" '@BUILD@' \
  >/usr/local/.vx_version.new
mv -f /usr/local/.vx_version.new /usr/local/.vx_version

if command -v systemd-sysusers >/dev/null && [ -e /usr/lib/sysusers.d/homeward.conf ]; then
  systemd-sysusers /usr/lib/sysusers.d/homeward.conf
fi
# What is configured later can be read by the daemons that are not root.
if getent group homeward >/dev/null 2>&1; then
  chgrp homeward /opt/homeward/Vx/etc && chmod g+s /opt/homeward/Vx/etc
fi
if command -v systemd-tmpfiles >/dev/null && [ -e /usr/lib/tmpfiles.d/homeward.conf ]; then
  systemd-tmpfiles --create /usr/lib/tmpfiles.d/homeward.conf || true
fi
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload || true
  if [ "$step" = upgrade ]; then
    # Only what runs; files of the release that it runs from go next.
    systemctl try-restart 'homeward-*.service' ||
      echo "homeward: a service did not come up again: systemctl list-units --failed 'homeward-*'" >&2
  fi
fi
if [ "$step" = install ] && [ ! -e /opt/homeward/Vx/etc/drscout.conf ]; then
  echo 'homeward: installed. Next: sudo /opt/homeward/Vx/bin/hostconfigcli'
fi
