// share/man: homeward(1) from the program's own definition, the pages of section 8 from packaging/man.
import fs from 'node:fs';
import path from 'node:path';
import { dayOf, type Build } from './build.ts';
import { commandSpec, everyCommand, hostconfigSpec, type CommandSpec } from './command-spec.ts';
import { roffFlags, roffItem, roffText, roffVerbatim } from './roff.ts';

export function writeManPages(build: Build, directory: string): void {
  const first = path.join(directory, 'man1');
  fs.mkdirSync(first, { recursive: true });
  fs.writeFileSync(path.join(first, 'homeward.1'), homewardPage(build, commandSpec()));
  const eighth = path.join(directory, 'man8');
  fs.mkdirSync(eighth, { recursive: true });
  const sources = path.join(build.root, 'packaging/man');
  for (const name of fs.readdirSync(sources).filter((file) => file.endsWith('.8'))) {
    const text = fs.readFileSync(path.join(sources, name), 'utf8');
    const filled = text.replaceAll('@VERSION@', build.version).replaceAll('@DATE@', dayOf(build));
    fs.writeFileSync(path.join(eighth, name), withOptions(filled));
  }
}

/** What a page leaves to the definition of its program: the options, and how it ends. */
function withOptions(page: string): string {
  if (!page.includes('@OPTIONS@')) return page;
  const { options, after } = hostconfigSpec();
  const items = options.map(({ flags, description }) => roffItem(roffFlags(flags), description));
  const exit = roffVerbatim(after.replace(/^Exit status: /, '').trim());
  return page.replace('@OPTIONS@', () => items.join('\n')).replace('@EXIT@', () => exit);
}

function homewardPage(build: Build, program: CommandSpec): string {
  const [moments = '', exit = ''] = program.after.split(/^(?=Exit status:)/m);
  const commands = everyCommand(program).filter(({ words }) => words.length > 0);
  return (
    [
      `.\\" Made by scripts/package from the definition of the program.`,
      `.TH HOMEWARD 1 "${dayOf(build)}" "Homeward ${build.version}" "User Commands"`,
      '.SH NAME',
      'homeward \\- protects machines and brings them back, as of any moment',
      '.SH SYNOPSIS',
      '\\fBhomeward\\fR [\\fIoptions\\fR] \\fIcommand\\fR [\\fIoperands\\fR]',
      '.SH DESCRIPTION',
      introduction.map(roffText).join('\n.PP\n'),
      '.SH OPTIONS',
      ...program.options.map(({ flags, description }) => roffItem(roffFlags(flags), description)),
      '.SH COMMANDS',
      ...commands.map(commandSection),
      '.SH MOMENTS',
      roffVerbatim(moments.trim()),
      '.SH EXIT STATUS',
      roffVerbatim(exit.replace(/^Exit status: /, '').trim()),
      '.SH ENVIRONMENT',
      ...environment.map(([name, text]) => roffItem(`\\fB${name}\\fR`, text)),
      '.SH FILES',
      ...files.map(([name, text]) => roffItem(`\\fI${name.replaceAll('-', '\\-')}\\fR`, text)),
      '.SH SEE ALSO',
      '.BR hostconfigcli (8),',
      '.BR homeward\\-check (8),',
      '.BR homeward\\-install (8),',
      '.BR qemu\\-nbd (8),',
      '.BR nbdfuse (1)',
      '',
    ]
      .join('\n')
      .replaceAll(/ *\n+/g, '\n')
      // A paragraph begins at a heading anyway.
      .replaceAll(/^(\.SH .*\n)\.PP\n/gm, '$1')
  );
}

function commandSection({ words, description, usage, operands, options, after }: CommandSpec): string {
  return [
    `.SS "homeward ${words.join(' ')}"`,
    `\\fBhomeward ${words.join(' ').replaceAll('-', '\\-')}\\fR ${roffText(usage)}`,
    '.PP',
    `${roffText(sentence(description))}`,
    ...operands.map(({ name, description: text }) => roffItem(`\\fI${roffText(name)}\\fR`, text)),
    ...options.map(({ flags, description: text }) => roffItem(roffFlags(flags), text)),
    ...(after === '' ? [] : ['.PP', roffText(after)]),
    '',
  ].join('\n');
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1).replace(/\.$/, '')}.`;
}

const introduction = [
  'Homeward keeps every write of a protected machine in a journal on the retention volume of a master ' +
    'target, and shows or writes its disks as they were after any of them.',
  'Commands ask a daemon on this host over its control socket, or a configuration server, whose operator ' +
    'file says where it is. `homeward all-in-one` runs a whole site on one host, to begin with.',
];

const environment = [
  ['HOMEWARD_CONTROL', 'The control socket of the daemon to ask, as with `--control`.'],
  ['HOMEWARD_OPERATOR', 'The file of the configuration server to ask, as with `--operator`.'],
  [
    'NODE_COMPILE_CACHE',
    'Where compiled programs are kept between starts; empty for nowhere. An installed release uses the ' +
      'cache directory that systemd gives to a service, else `~/.cache/homeward`.',
  ],
] as const;

const files = [
  ['/usr/local/ASR/Vx', 'An installation: releases, `current`, `etc/drscout.conf` and `private`.'],
  ['/var/lib/homeward', 'What the services keep, one directory a role.'],
  ['/run/homeward', 'Control sockets.'],
  ['~/.config/homeward/operator.json', 'The configuration server to ask, and the right to.'],
] as const;
