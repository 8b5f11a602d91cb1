# shellcheck shell=bash disable=SC2034,SC2154 # shared with the files that it is sourced with
# What --help prints. Sourced.

show_help() {
  cat <<'HELP'
usage: install.sh [flags]          (install is the same program)

On a terminal it asks what no flag says; with flags alone both give the same result.

  -d, --directory DIR        where to install (/usr/local/ASR)
  -r, -R, --role ROLE        Agent (or MS): the mobility service, on a machine to be protected
                             MasterTarget (or MT): receives, keeps history, recovers
                             ConfigServer, ProcessServer, AllInOne
  -i, --address ADDRESS      the configuration server, by name or address
  -p, --port PORT            its port (443)
  -P, --passphrase-file FILE what `homeward passphrase show` prints there; asked on a terminal
  -c, --communication https  there is nothing else
      --alone                no configuration server yet: run alone
      --retention-volume DIR where a master target keeps history
      --apply-custom-changes y|n
                             prepare a master target's host with ApplyCustomChanges.sh; without it
                             that is asked, or not done where nobody is asked
  -s, --start y|n            start the service when done (y)
  -v, --platform NAME        VmWare, Azure, HyperV, Physical, KVM, Xen, AWS or GCP; noted down
  -q, --quiet                ask nothing: an upgrade goes on, missing packages are installed, the host is
                             not prepared
  -y, --yes                  yes to an upgrade, to packages, and to preparing the host
      --accept ID,…          go on although these checks fail; --because TEXT says why, and is kept
      --offline              fetch nothing, also with -q or --yes: missing packages are named instead
      --open-firewall        open the ports of the role in firewalld or ufw
      --allow-downgrade      put an older version over a newer one
      --dry-run              print what would change, and change nothing
      --version              print the version that this would install
  -t both, -a host           accepted for older instructions, and ignored

Exit status:
    0  done, or nothing to do
    1  a check of the host failed, and was not accepted; nothing of Homeward was changed
    2  a flag is wrong, missing, or contradicts another
    3  a question was answered with no, or the input ended
    5  another installation runs here, this host has another role or directory, or the software that
       Homeward replaces is still here
    6  refused for safety: the system is too old, an older version over a newer one, a master target
       newer than its configuration server, run from the install directory
    7  installed, but the configuration server could not be reached or did not let this host in
    8  no space, or a directory that cannot be written
    9  the service did not come up; after an upgrade the version before runs again
   70  a fault of ours
   77  not root
  128+n  ended by signal n
HELP
}
