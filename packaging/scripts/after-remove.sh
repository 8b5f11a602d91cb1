# After the files went: what after-install made, if it is still ours. Configuration, state, retention volumes
# and replicas stay.
if [ -L /usr/local/ASR ] && [ "$(readlink /usr/local/ASR)" = /opt/homeward ]; then rm -f /usr/local/ASR; fi
if [ -e /usr/local/.vx_version ] && grep -qx 'INSTALL_DIR=/opt/homeward' /usr/local/.vx_version; then
  rm -f /usr/local/.vx_version
fi
rm -rf /var/cache/homeward
if [ -d /run/systemd/system ]; then systemctl daemon-reload || true; fi
