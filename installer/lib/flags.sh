# shellcheck shell=bash disable=SC2034,SC2154 # shared with the files that it is sourced with
# The command line of the installer: both generations of flags, and what contradicts what. Sourced.

# Empty is "not given". What is a switch is `yes` when given.
flag_directory='' flag_role='' flag_address='' flag_port='' flag_communication='' flag_start=''
flag_passphrase='' flag_platform='' flag_retention='' flag_accept='' flag_because='' flag_custom_changes=''
flag_quiet='' flag_yes='' flag_dry_run='' flag_offline='' flag_firewall='' flag_alone='' flag_downgrade=''

parse_flags() {
  local flag
  while [ $# -gt 0 ]; do
    flag=$1
    shift
    case $flag in
      --?*=*)
        set -- "${flag#*=}" "$@"
        flag=${flag%%=*}
        is_switch "$flag" && usage_error "$flag takes no value"
        ;;
    esac
    if is_switch "$flag"; then
      set_switch "$flag"
    else
      [ $# -gt 0 ] || unknown_or_short "$flag"
      set_value "$flag" "$1"
      shift
    fi
  done
  check_together
}

is_switch() {
  case $1 in
    -q | --quiet | -y | --yes | --dry-run | --offline | --open-firewall | --alone | --allow-downgrade) ;;
    -h | --help | --version) ;;
    *) return 1 ;;
  esac
}

set_switch() {
  case $1 in
    -q | --quiet) flag_quiet=yes ;;
    -y | --yes) flag_yes=yes ;;
    --dry-run) flag_dry_run=yes ;;
    --offline) flag_offline=yes ;;
    --open-firewall) flag_firewall=yes ;;
    --alone) flag_alone=yes ;;
    --allow-downgrade) flag_downgrade=yes ;;
    -h | --help) show_help && exit 0 ;;
    --version) say "$new_version" && exit 0 ;;
  esac
}

# set_value FLAG VALUE
set_value() {
  case $1 in
    -d | --directory) take flag_directory "$@" && check_directory_name ;;
    -r | -R | --role) take flag_role "$@" && flag_role=$(role_named "$2" "$1") ;;
    -i | --address) take flag_address "$@" && check_address ;;
    -p | --port) take flag_port "$@" && check_port ;;
    -c | --communication) take flag_communication "$@" && check_communication ;;
    -s | --start) take flag_start "$@" && flag_start=$(yes_or_no "$1" "$2") ;;
    -P | --passphrase-file) take flag_passphrase "$@" ;;
    -v | --platform) take flag_platform "$@" && flag_platform=$(platform_named "$2") ;;
    -t) ignore_flag "$1" "$2" both ;;
    -a) ignore_flag "$1" "$2" host ;;
    --retention-volume) take flag_retention "$@" && check_retention_name ;;
    --apply-custom-changes) take flag_custom_changes "$@" && flag_custom_changes=$(yes_or_no "$1" "$2") ;;
    --accept) take flag_accept "$@" && check_accept ;;
    --because) take flag_because "$@" && check_because ;;
    *) unknown_or_short "$1" ;;
  esac || exit
}

unknown_or_short() {
  case $1 in
    -d | -r | -R | -i | -p | -c | -s | -P | -v | -t | -a | --directory | --role | --address | --port) ;;
    --communication | --start | --passphrase-file | --platform | --retention-volume | --accept | --because) ;;
    --apply-custom-changes) ;;
    -*) usage_error "there is no flag $1" ;;
    *) usage_error "what is \"$1\"? Everything is given with flags" ;;
  esac
  usage_error "$1 needs a value"
}

# take VARIABLE FLAG VALUE
take() {
  case $3 in
    '') usage_error "$2 has an empty value" ;;
    -*) usage_error "$2 needs a value, and got the flag $3" ;;
  esac
  [ -z "${!1}" ] || [ "${!1}" = "$3" ] || usage_error "$2 is given twice: ${!1} and $3"
  printf -v "$1" '%s' "$3"
}

ignore_flag() {
  [ "$2" = "$3" ] || usage_error "$1 knows only \"$3\", not \"$2\""
  say "note: $1 $2 is accepted for the sake of older instructions, and means nothing here"
}

role_named() {
  case $(printf '%s' "$1" | tr '[:upper:]' '[:lower:]') in
    agent | ms | mobility | mobilityservice) echo Agent ;;
    mt | mastertarget | master-target) echo MasterTarget ;;
    cs | configserver | config-server) echo ConfigServer ;;
    ps | processserver | process-server) echo ProcessServer ;;
    allinone | all-in-one) echo AllInOne ;;
    *)
      usage_error "$2 $1 is no role" \
        'Give Agent (or MS), MasterTarget (or MT), ConfigServer, ProcessServer or AllInOne.'
      ;;
  esac
}

platform_named() {
  local known=(VmWare Azure HyperV Physical KVM Xen AWS GCP) name
  for name in "${known[@]}"; do
    [ "${1,,}" = "${name,,}" ] && echo "$name" && return
  done
  usage_error "-v $1 is no platform that is known" "Give one of ${known[*]}."
}

yes_or_no() {
  case $2 in
    y | Y | yes) echo y ;;
    n | N | no) echo n ;;
    *) usage_error "$1 is y or n, not \"$2\"" ;;
  esac
}

check_directory_name() {
  local problem
  problem=$(problem_with_directory "$flag_directory") || usage_error "-d $flag_directory: $problem"
  flag_directory=$(tidy_path "$flag_directory")
}

check_retention_name() {
  case $flag_retention in
    /*[!A-Za-z0-9/._@+-]* | [!/]*) usage_error "--retention-volume $flag_retention is not an absolute path" ;;
  esac
}

check_address() {
  # As it stands in a URL.
  case $flag_address in \[*:*\]) flag_address=${flag_address:1:-1} ;; esac
  case $flag_address in
    *://*) usage_error "-i $flag_address: give the name or address alone, without ${flag_address%%://*}://" ;;
    *[!A-Za-z0-9.:_-]*) usage_error "-i $flag_address is neither a name nor an address" ;;
    *:*:*) ;;
    *:*) usage_error "-i $flag_address: the port is given with -p ${flag_address##*:}" ;;
  esac
}

check_port() {
  case $flag_port in
    *[!0-9]* | ??????*) usage_error "-p $flag_port is no port: 1 to 65535" ;;
  esac
  if ((10#$flag_port < 1 || 10#$flag_port > 65535)); then
    usage_error "-p $flag_port is no port: 1 to 65535"
  fi
}

check_communication() {
  [ "${flag_communication,,}" = https ] ||
    usage_error "-c $flag_communication: hosts speak https with each other, and nothing else"
}

# Every check of `homeward check`; a mistyped id would be found only when its check fails.
known_checks=(os-supported glibc disk-count root-not-lvm retention-not-lvm scsi-uuid uuid-unique
  retention-volume fs-identity-unique at-rest packages source-filesystems lvm-quiet multipath clock
  name-resolution ports version memory cpu selinux firewall)

check_accept() {
  local id
  case $flag_accept in
    *[!a-z0-9,-]* | ,* | *, | *,,*) usage_error "--accept $flag_accept: give ids of checks, with commas" ;;
  esac
  for id in ${flag_accept//,/ }; do
    case " all ${known_checks[*]} " in
      *" $id "*) ;;
      *) usage_error "--accept $id: there is no such check" "There are ${known_checks[*]}; all is each." ;;
    esac
  done
}

# `homeward check --accept` keeps no longer reason.
readonly because_characters=500

check_because() {
  case $flag_because in *[[:cntrl:]]*) usage_error '--because takes one line' ;; esac
  [ -n "${flag_because//[[:space:]]/}" ] || usage_error '--because is blank'
  [ ${#flag_because} -le $because_characters ] ||
    usage_error "--because has ${#flag_because} characters, and at most $because_characters are kept"
}

# What no order of asking can mend.
check_together() {
  local is_server=
  case $flag_role in ConfigServer | AllInOne) is_server=yes ;; esac
  if [ -n "$flag_address" ] && [ -n "$flag_alone" ]; then
    usage_error '-i and --alone contradict each other: with a configuration server, or without'
  fi
  if [ -n "$flag_address" ] && [ -n "$is_server" ]; then
    usage_error "-i and -r $flag_role contradict each other: this host will be its own configuration server"
  fi
  if [ -z "$flag_address" ] && [ -n "$flag_passphrase" ]; then
    usage_error '-P says how to be let in, but not where' 'Give the configuration server with -i ADDRESS.'
  fi
  if [ -z "$flag_address" ] && [ -n "$flag_port" ]; then
    usage_error '-p is the port of the configuration server, but which?' 'Give it with -i ADDRESS.'
  fi
  if [ -n "$flag_accept" ] && [ -z "$flag_because" ]; then
    usage_error '--accept needs a reason, which is kept and shown' 'Give it with --because TEXT.'
  fi
  if [ -z "$flag_accept" ] && [ -n "$flag_because" ]; then
    usage_error '--because needs to know what for' 'Give the ids of checks with --accept ID,….'
  fi
  if [ -n "$flag_address" ] && [ -z "$flag_passphrase" ] && ! is_interactive; then
    usage_error '-i needs the passphrase of the configuration server' \
      'Give -P FILE, with what `homeward passphrase show` prints there; on a terminal without -q it is asked.'
  fi
  [ -z "$flag_passphrase" ] || check_passphrase_file "$flag_passphrase"
}

# What only makes sense for a role, once that is known.
check_for_role() {
  case $role in MasterTarget | AllInOne) return 0 ;; esac
  [ -z "$flag_retention" ] ||
    usage_error "--retention-volume is not for a $(role_title "$role"): it keeps no history"
  [ "$flag_custom_changes" != y ] ||
    usage_error "--apply-custom-changes is not for a $(role_title "$role"): it has no replicas to protect"
}
