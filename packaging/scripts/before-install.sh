# Before files are unpacked: an installation that is not this package's is left alone.
refuse() {
  echo "homeward: $1" >&2
  echo "homeward: $2" >&2
  exit 1
}
if [ -L /usr/local/ASR ]; then
  [ "$(readlink /usr/local/ASR)" = /opt/homeward ] ||
    refuse "/usr/local/ASR is a link to $(readlink /usr/local/ASR), not to /opt/homeward." \
      "Find out what it is for, remove it, then install this package again."
elif [ -e /usr/local/ASR ]; then
  refuse "/usr/local/ASR is there already: Homeward from the tarball, or the software that it replaces." \
    "Remove that first with its own uninstaller (data stays), then install this package again."
fi
if [ -e /usr/local/.vx_version ] && ! grep -qx 'INSTALL_DIR=/opt/homeward' /usr/local/.vx_version; then
  elsewhere=$(sed -n 's/^INSTALL_DIR=//p' /usr/local/.vx_version)
  refuse "/usr/local/.vx_version says that Homeward is installed elsewhere ($elsewhere)." \
    "Remove that first with uninstall.sh (data stays), then install this package again."
fi
