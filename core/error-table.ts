// The one table of errors that a user can meet: code, exit status, HTTP status, retry rule and hint.

/** Exit statuses of the `homeward` command. */
export const ExitStatus = {
  done: 0,
  found: 1,
  usage: 2,
  noSuchThing: 3,
  momentNotAvailable: 4,
  conflict: 5,
  refused: 6,
  unreachable: 7,
  noSpace: 8,
  bug: 70,
} as const;
export type ExitStatus = (typeof ExitStatus)[keyof typeof ExitStatus];

interface ErrorKind {
  exit: ExitStatus;
  http: number;
  /** Whether the same call may succeed later without anybody changing anything. */
  retry: boolean;
  hint: string;
}

const kind = (exit: ExitStatus, http: number, retry: boolean, hint: string): ErrorKind => ({
  exit,
  http,
  retry,
  hint,
});

/** `docs/errors.md` lists the same codes; a test compares both. */
export const errorTable = {
  usage: kind(2, 400, false, 'See `homeward help` for the commands and their flags.'),
  'bad-size': kind(2, 400, false, 'Give bytes, or a number with K, M, G or T, for example 20G.'),
  'bad-disk-size': kind(2, 400, false, 'A disk size is a multiple of 512 bytes, from 512 to 64T.'),
  'bad-duration': kind(2, 400, false, 'Give a number with ms, s, m, h, d or w, for example 15m.'),
  'bad-keep-rules': kind(2, 400, false, 'Give NAME=TIME,…, for example hourly=7d,daily=4w,tags=4w, or none.'),
  'bad-name': kind(
    2,
    400,
    false,
    'A name starts with a letter or digit and has up to 63 letters, digits, ".", "_" or "-".',
  ),
  'bad-tag-name': kind(2, 400, false, 'A tag name has 1 to 120 printable characters and no "/".'),
  'bad-when': kind(
    2,
    400,
    false,
    'Give latest, latest-tag, latest-app, tag:NAME, lsn:N, -15m, or a time such as 2026-01-31T14:05:00Z.',
  ),
  'bad-listen': kind(2, 400, false, 'Give unix:PATH or tcp:HOST:PORT.'),
  'bad-target': kind(2, 400, false, 'Give raw:DIR, qcow2:DIR, vmdk:DIR, block:NAME=DEVICE or in-place.'),
  'bad-config': kind(2, 400, false, 'Correct the setting; docs/configuration.md lists them all.'),
  'not-in-this-version': kind(2, 501, false, 'CHANGELOG.md says what this version does.'),
  'no-such-machine': kind(3, 404, false, '`homeward status` lists the machines this master target knows.'),
  'no-such-disk': kind(3, 404, false, '`homeward status` lists the disks of each machine.'),
  'no-such-tag': kind(3, 404, false, '`homeward points M` lists the tags that can be recovered to.'),
  'no-such-view': kind(3, 404, false, '`homeward views` lists the open views.'),
  'no-such-lock': kind(3, 404, false, '`homeward points M` lists the locks.'),
  'no-such-file': kind(3, 404, false, 'Check the path.'),
  'outside-window': kind(4, 409, false, 'Choose a moment inside the window; `homeward points M` shows it.'),
  'in-future': kind(4, 409, true, 'Choose a moment that has passed; `latest` is the newest durable one.'),
  'in-gap': kind(
    4,
    409,
    false,
    'Choose one of the neighbouring points; `homeward points M` lists the gaps with their reasons.',
  ),
  thinned: kind(4, 409, false, 'Choose one of the points that are kept; `homeward points M` lists them.'),
  'no-points': kind(
    4,
    409,
    true,
    'The first point is there when the first copy has ended (`homeward ingest seeded M`).',
  ),
  damaged: kind(4, 409, false, 'Choose an earlier point; `homeward verify M` lists what is damaged.'),
  conflict: kind(5, 409, false, 'Look at `homeward status` for what is there already.'),
  exists: kind(
    5,
    409,
    false,
    'Choose another directory, or move the file away: what exists is never overwritten.',
  ),
  'tag-exists': kind(5, 409, false, 'Choose another name; `homeward points M` lists the tags.'),
  'machine-differs': kind(5, 409, false, 'Open it with the same disks and sizes, or under another name.'),
  released: kind(
    5,
    409,
    false,
    'Its replicas belong to whom they were given; protect the machine anew under another name.',
  ),
  'already-running': kind(
    5,
    409,
    false,
    'Stop the other daemon first, or give this one directories of its own.',
  ),
  'volume-not-mounted': kind(
    6,
    503,
    true,
    'Mount the volume that carries this identity, then start again. Nothing was created in its place.',
  ),
  'not-a-volume': kind(
    6,
    409,
    false,
    'Give an empty directory, or one that a master target has used before.',
  ),
  'foreign-machine': kind(6, 409, false, 'Move the directory away, or put back the one that belongs here.'),
  'foreign-segment': kind(6, 409, false, 'Move the file away, or put back the one that belongs here.'),
  'not-writable': kind(
    6,
    409,
    false,
    'Mount it for writing, or give the user that Homeward runs as the right to write there.',
  ),
  'target-too-small': kind(6, 409, false, 'Choose a device at least as large as the disk.'),
  'target-mounted': kind(6, 409, false, 'Unmount it, or choose another device.'),
  'target-nameless': kind(6, 409, false, 'Give each disk an identity of its own; `homeward check` says how.'),
  'target-signature': kind(
    6,
    409,
    false,
    'If it may be overwritten, give --overwrite-disk with its WWID, typed in full.',
  ),
  'target-missing': kind(
    6,
    409,
    false,
    'Check the device name; devices are named by their /dev/disk/by-id name.',
  ),
  'source-connected': kind(
    6,
    409,
    false,
    'Stop the machine there, then give --source-is-off: whatever it still sends is refused from then on.',
  ),
  'needs-yes': kind(6, 409, false, 'Add --yes if this is what you want.'),
  locked: kind(
    6,
    409,
    false,
    'Wait until then, or lock it for longer: nobody shortens a lock through Homeward.',
  ),
  'plain-tcp': kind(
    6,
    409,
    false,
    'Listen on loopback or a Unix socket, or set NbdTlsDirectory so that TCP is encrypted.',
  ),
  'daemon-unreachable': kind(
    7,
    503,
    true,
    'Start it with `homeward master-target --data DIR`, or name its socket with --control PATH.',
  ),
  'no-space': kind(
    8,
    507,
    true,
    'Make room on the volume; writing goes on by itself then. Nothing acknowledged is lost.',
  ),
  'volume-too-small': kind(
    8,
    507,
    false,
    'Give a larger retention volume, or lower floors: `homeward retention M --floor 1h`.',
  ),
  'journal-failed': kind(
    8,
    503,
    true,
    'The disk under the retention volume fails writes; the log has the errno. Nothing acknowledged is lost.',
  ),
  'tool-missing': kind(1, 500, false, "Install the named package with the distribution's package manager."),
  'tool-failed': kind(1, 500, false, 'The message of the tool says what it did not like.'),
  interrupted: kind(1, 499, true, 'Run the same command again; what was begun has been taken back.'),
  'passphrase-too-short': kind(
    2,
    400,
    false,
    'Copy all of its 24 characters: `homeward passphrase show` on the configuration server prints them.',
  ),
  'no-such-host': kind(3, 404, false, '`homeward hosts` lists the hosts that have registered.'),
  pruned: kind(4, 410, false, 'Nothing to do: what is missing is copied again from the source.'),
  'host-id-taken': kind(
    5,
    409,
    false,
    'A clone: remove its DATA/identity and start again. The same host anew: `homeward hosts approve HOST`.',
  ),
  fenced: kind(5, 409, false, 'Another source has taken over this machine; this one must not go on sending.'),
  'not-assigned': kind(6, 403, false, '`homeward machines` shows which hosts a machine is assigned to.'),
  'not-allowed': kind(
    6,
    403,
    false,
    'Ask with the operator file that the configuration server wrote, DATA/operator.json.',
  ),
  'waiting-for-approval': kind(
    6,
    403,
    true,
    'Say yes with `homeward hosts approve HOST`; the host goes on by itself.',
  ),
  'wrong-passphrase': kind(
    6,
    401,
    false,
    '`homeward passphrase show` on the configuration server prints the one that counts.',
  ),
  'certificate-not-vouched': kind(
    6,
    495,
    false,
    'See that the address is right and nobody sits between; enrol again if the server was set up anew.',
  ),
  'clock-apart': kind(6, 409, false, 'Set the wrong clock (NTP), then try again.'),
  'version-newer': kind(6, 409, false, 'Upgrade the configuration server first.'),
  'too-many-attempts': kind(6, 429, true, 'Wait a minute, then try again.'),
  'name-not-resolved': kind(7, 502, true, 'Check the name, or give an address.'),
  'connection-refused': kind(7, 502, true, 'Check address and port, and that the server runs.'),
  'timed-out': kind(7, 504, true, 'Check the address, and that no firewall swallows the connection.'),
  'not-tls': kind(
    7,
    502,
    false,
    'Check the port: the configuration server is at 443 or 8443, the process server at 9443.',
  ),
  'server-failed': kind(7, 502, true, 'Check the address; the log of the server says more.'),
  'chain-broken': kind(
    7,
    502,
    true,
    'It is opened again by itself; `homeward status` shows the backlogs meanwhile.',
  ),
  'damaged-record': kind(
    7,
    502,
    true,
    'It is asked for again by itself. If this repeats, test the memory and network of the hosts in between.',
  ),
  'host-not-connected': kind(7, 503, true, '`homeward hosts` shows when each host was heard last.'),
  'script-failed': kind(
    1,
    500,
    false,
    'Run the script by hand with --pre; its output is in the log of the mobility service.',
  ),
  bug: kind(70, 500, false, 'This is a fault in Homeward. Please report it with the log.'),
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof errorTable;
