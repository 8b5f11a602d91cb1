// What `?` says about the thing under the cursor.

export interface HelpText {
  title: string;
  lines: readonly string[];
}

export const menuHelp: readonly HelpText[] = [
  {
    title: 'Global',
    lines: [
      'Says which configuration server this host belongs to, and registers it there.',
      'You need the address of the configuration server and its passphrase, which',
      '`homeward passphrase show` prints on that server.',
      'A host may also run alone: then nobody is asked, and nothing is reported.',
    ],
  },
  {
    title: 'Agent',
    lines: [
      'What this host is, its identity, and where it keeps things: the retention volume with the',
      'history of the protected machines, the datastore for their replicas, a cache.',
      'It lists the volumes of this host, and says why one cannot be a retention volume.',
    ],
  },
  {
    title: 'NAT',
    lines: [
      'Needed only when others reach this host through an address translation (NAT), under another',
      'name or address than its own. Leave both at No if you do not know of any.',
    ],
  },
  {
    title: 'Logging',
    lines: [
      'How much the service of this host writes into its log, and where to; below that the newest',
      'lines of the log, as they come.',
    ],
  },
  { title: 'Quit', lines: ['Leaves. What was accepted is saved; what was not is forgotten.'] },
];

const fieldHelp: Readonly<Record<string, HelpText>> = {
  'global/address': {
    title: 'Enter IP Address',
    lines: [
      'The name or the IP address of the configuration server, as this host reaches it.',
      'If there is a NAT in between, that is the address on this side of it.',
    ],
  },
  'global/port': {
    title: 'Enter Port number',
    lines: [
      'The port of the configuration server. It is 443 unless somebody has changed it.',
      'Printed instructions may say 22. That is the port of SSH, and no configuration server is there.',
    ],
  },
  'global/https': {
    title: 'Use https',
    lines: [
      'Yes. Hosts and servers speak https with each other, and nothing else; the question is asked',
      'because printed instructions mention it.',
    ],
  },
  'global/passphrase': {
    title: 'Enter Passphrase',
    lines: [
      'On the configuration server `homeward passphrase show` prints it: 24 characters. Paste it here;',
      'the number of characters shows whether all of it came. It is never shown.',
      'It is used once, to register this host, and not kept. Enrolled means that this host has done so:',
      'then leave it empty, unless the configuration server was set up anew.',
    ],
  },
  'global/buttons': {
    title: 'Accept',
    lines: [
      'Accept contacts the configuration server at once, registers this host with it, and saves.',
      'If it does not work it says why, and nothing is saved.',
      'Run alone: this host has no configuration server. Operate it with the homeward command here.',
      'Save anyway: keeps address and port although the server could not be used. The passphrase is not',
      'kept, so come back here when the server can be reached.',
    ],
  },
  'agent/retention': {
    title: 'Retention volume',
    lines: [
      'The directory where the history of the protected machines lies, best the mount point of a disk',
      'of its own. Choose one of the volumes below, or enter a path.',
      'If it stays empty, history lies in the data directory, on the disk of the system.',
    ],
  },
  'agent/volumes': {
    title: 'Volumes here',
    lines: [
      'The mounted file systems of this host. Enter takes the one under the cursor as retention volume.',
      'Behind one that cannot be it stands why: it may hold the system, be read-only, or have the wrong',
      'file system. A new disk appears here when it is formatted and mounted.',
    ],
  },
  'agent/replicas': {
    title: 'Datastore for replicas',
    lines: [
      'The directory for replicas that are files: copies of the disks of the protected machines, as large',
      'as those are. Replicas on disks of their own do not need it.',
    ],
  },
  'agent/cache': {
    title: 'Cache directory',
    lines: [
      'Where compiled programs are kept, so that they start faster. Nothing is lost when it is emptied.',
    ],
  },
  'agent/buttons': {
    title: 'Accept',
    lines: ['Looks whether these places can be what they are to be, saves them, and restarts the service.'],
  },
  'nat/has-name': natHelp('host name', 'a name'),
  'nat/name': natHelp('host name', 'a name'),
  'nat/has-ip': natHelp('IP address', 'an IP address'),
  'nat/ip': natHelp('IP address', 'an IP address'),
  'nat/buttons': { title: 'Accept', lines: ['Saves both answers, and restarts the service of this host.'] },
  'logging/level': {
    title: 'Level',
    lines: [
      'error: somebody has to do something. warn: something went wrong and healed. info: what changed;',
      'this is the usual one. debug: everything, for a search for a fault. Left and right change it.',
    ],
  },
  'logging/file': {
    title: 'Also into the file',
    lines: [
      'The log always goes to the journal (`journalctl -u homeward-master-target`). With a path here it',
      'also goes into that file.',
    ],
  },
  'logging/buttons': {
    title: 'Accept',
    lines: ['Saves level and file, and restarts the service of this host.'],
  },
};

function natHelp(what: string, one: string): HelpText {
  return {
    title: `Fixed NAT ${what}`,
    lines: [
      `Yes when other hosts reach this one under ${one} that is not its own, because an address`,
      'translation (NAT) is in between. A process server tells it to them in place of its',
      'own; a master target opens no port, and nobody has to reach it.',
    ],
  };
}

/** `page/field`. */
export const helpOn = (page: string, field: string): HelpText =>
  fieldHelp[`${page}/${field}`] ?? {
    title: 'Help',
    lines: ['Arrow keys move, Enter accepts, Esc goes back.'],
  };
