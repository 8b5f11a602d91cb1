#!/bin/sh
# Called by the mobility service around an application-consistent tag: --pre before it, --post after it, always.
# Copy it, make it bring your applications to rest and let them go on, and give it with --custom-script.
#
#   exit status of --pre   0: everything is at rest, the tag is application-consistent
#                          3: there is nothing to do here, the tag is crash-consistent
#                          anything else: the tag is not taken (on demand), or crash-consistent (automatic)
#   time limit             60 s for each step; what runs longer is ended
#
# --post runs also when --pre failed, was ended, or the service is stopping: it must do no harm then.
set -u

pre() {
  # A file system on a protected disk, where it is mounted on this host:
  #   fsfreeze --freeze /srv/data && return 0
  #
  # PostgreSQL (its files are crash-safe by themselves; a checkpoint makes recovery short):
  #   sudo -u postgres psql --quiet --command 'CHECKPOINT' && sync --file-system /var/lib/postgresql && return 0
  #
  # MariaDB: a lock lasts as long as its session, so a session is kept in the background until --post:
  #   mariadb --execute 'FLUSH TABLES WITH READ LOCK; SELECT SLEEP(50)' & echo $! > /run/homeward-lock.pid
  return 3
}

post() {
  #   fsfreeze --unfreeze /srv/data
  #   [ -f /run/homeward-lock.pid ] && kill "$(cat /run/homeward-lock.pid)"; rm -f /run/homeward-lock.pid
  return 0
}

case "${1-}" in
  --pre) pre ;;
  --post) post ;;
  *)
    echo "usage: $0 --pre|--post" >&2
    exit 2
    ;;
esac
