// The installer's command line: whatever is wrong with it is named, and nothing changes.
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { allChecks } from '../../agent/prerequisites/client.ts';
import { readPassphraseFile } from '../../hostconfig-tui/actions/passphrase-file.ts';
import { InstallerSite, passphrase } from '../support/installer-site.ts';
import { root as checkout } from '../support/source-files.ts';

t.test('wrong, missing and contradictory flags are named', async (t) => {
  const site = new InstallerSite(t);
  const good = site.passphraseFile(passphrase);
  const wrong: [string, string | RegExp][] = [
    ['', '-r ROLE is missing'],
    ['-q', '-q asks nothing'],
    ['-r', '-r needs a value'],
    ['-r -q', '-r needs a value, and got the flag -q'],
    ['-r Master', '-r Master is no role'],
    ['-r MT -R MS', '-R is given twice: MasterTarget and MS'],
    ['--role=', '--role has an empty value'],
    ['-r MT --alone=yes', '--alone takes no value'],
    ['-x', 'there is no flag -x'],
    ['--dryrun', 'there is no flag --dryrun'],
    ['MT', 'what is "MT"?'],
    ['-r MT -d asr', 'it has to be an absolute path'],
    ['-r MT -d /', 'a directory of the system'],
    ['-r MT -d /usr/local', 'a directory of the system'],
    ['-r MT -d /opt/homeward', 'where the rpm and the deb'],
    ['-r MT -d /etc/asr', 'does not stay, or is not for programs'],
    ['-r MT -p 22 --alone', '-p is the port of the configuration server, but which?'],
    [`-r MT -i cs -P ${good} -p 65536`, 'is no port'],
    [`-r MT -i cs -P ${good} -p ssh`, 'is no port'],
    [`-r MT -i https://cs -P ${good}`, 'without https://'],
    [`-r MT -i cs:443 -P ${good}`, 'the port is given with -p 443'],
    [`-r MT -i c$s -P ${good}`, 'neither a name nor an address'],
    [`-r MT -i cs --alone -P ${good}`, '-i and --alone contradict'],
    [`-r AllInOne -i cs -P ${good}`, '-i and -r AllInOne contradict'],
    ['-r MT -i cs', '-i needs the passphrase'],
    [`-r MT -P ${good}`, '-P says how to be let in, but not where'],
    ['-r MT -c http', 'hosts speak https'],
    ['-r MT -s maybe', '-s is y or n'],
    ['-r MT -t agent', '-t knows only "both"'],
    ['-r MT -a vm', '-a knows only "host"'],
    ['-r MT -v Amiga', '-v Amiga is no platform'],
    ['-r MT --accept scsi-uuid', '--accept needs a reason'],
    ['-r MT --because lab', '--because needs to know what for'],
    ['-r MT --retention-volume retention', 'not an absolute path'],
    ['-r MS --retention-volume /mnt', '--retention-volume is not for a Mobility Service'],
    ['-r MS --apply-custom-changes y', '--apply-custom-changes is not for a Mobility Service'],
    ['-r MT --accept scsi-uuid,foo-bar --because x', '--accept foo-bar: there is no such check'],
    [`-r MT --accept all --because ${'x'.repeat(501)}`, '--because has 501 characters'],
  ];
  for (const [line, why] of wrong) await site.refuses(t, line.split(' ').filter(Boolean), { why });
  for (const [because, why] of [
    [' ', '--because is blank'],
    ['a\nb', '--because takes one line'],
  ] as const)
    await site.refuses(t, ['-r', 'MT', '--accept', 'all', '--because', because], { why });
});

t.test(
  '--accept takes each check that there is, and the role of the host counts for an upgrade',
  async (t) => {
    const site = new InstallerSite(t);
    const ids = allChecks.map(({ id }) => id);
    const all = ['--accept', ids.join(','), '--because', 'a lab'];
    t.equal((await site.install(['-q', '-r', 'PS', ...all])).status, 0);
    await site.refuses(t, ['-q', '-r', 'PS', '--accept', 'all-checks', '--because', 'x'], {
      why: ids.join(' '),
    });
    await site.refuses(t, ['-q', '--retention-volume', '/mnt'], { why: 'is not for a process server' });
  },
);

t.test('a passphrase file that cannot be one is refused, and which fault it has is said', async (t) => {
  const site = new InstallerSite(t);
  const args = (file: string): string[] => ['-r', 'MT', '-i', 'cs', '-P', file];
  await site.refuses(t, args('/nowhere/passphrase'), { why: 'there is no such file' });
  await site.refuses(t, args(site.directory), { why: 'is not a file' });
  await site.refuses(t, args(site.passphraseFile('')), { why: 'is empty' });
  await site.refuses(t, args(site.passphraseFile(' \r\n\n')), { why: 'is empty' });
  await site.refuses(t, args(site.passphraseFile('ABCD-EFGH')), { why: 'holds 9 characters' });
  await site.refuses(t, args(site.passphraseFile(Buffer.from(passphrase, 'utf16le'))), { why: 'UTF-16' });
});

t.test(
  'what hostconfigcli would refuse of a passphrase file is refused before anything changes',
  async (t) => {
    const site = new InstallerSite(t);
    const inside = passphrase.slice(0, -1);
    const texts = [
      ...[`${passphrase}\nsecond\n`, `${passphrase} \nsecond`, `${inside}é`, `${inside} x`, `${inside}\tx`],
      ...[
        `${inside}\u00a0x`,
        `${inside}\x7f`,
        `${inside}\x1bx`,
        `\ufeff${passphrase}\r\n`,
        `\n ${passphrase} \n\n`,
      ],
      ...[`${passphrase}!~"'$\\`, passphrase],
    ];
    for (const text of texts) {
      const file = site.passphraseFile(text);
      let refused = false;
      try {
        readPassphraseFile(file);
      } catch {
        refused = true;
      }
      const args = ['-r', 'MT', '-i', 'cs', '-P', file, '--dry-run'];
      if (refused) await site.refuses(t, args, { why: 'holds more than a passphrase' });
      else t.equal((await site.install(args)).status, 0, JSON.stringify(text));
    }
  },
);

t.test('line ends of a passphrase file do not matter; one that all can read is warned about', async (t) => {
  for (const end of ['', '\r\n']) {
    const site = new InstallerSite(t);
    const file = site.passphraseFile(`${passphrase}${end}`, end === '' ? 0o644 : 0o600);
    const { status, out, err } = await site.install(['-q', '-r', 'MT', '-i', 'cs.example', '-P', file]);
    t.equal(status, 0, err);
    t.match(
      site.calls().join('\n'),
      `hostconfigcli --address cs.example --port 443 --https yes --passphrase-file ${file}`,
    );
    t.match(out, 'Configuration server  cs.example');
    t.equal(err.includes('everybody on this host can read'), end === '');
    t.notMatch(out + err + site.read('var/log/homeward/install.log'), passphrase);
  }
});

t.test('what is said of the systems that it runs on is the same everywhere', (t) => {
  for (const file of ['packaging/README.md', 'docs/installing.md', 'installer/lib/host.sh']) {
    const text = fs.readFileSync(path.join(checkout, file), 'utf8').replaceAll(/\s+/g, ' ');
    t.notMatch(text, 'Debian 10', file);
  }
  t.match(fs.readFileSync(path.join(checkout, 'packaging/README.md'), 'utf8'), 'Debian 11, Ubuntu 20.04');
  t.end();
});

t.test('--help and docs/installing.md list the same flags and exit statuses', async (t) => {
  const site = new InstallerSite(t);
  const { status, out } = await site.install(['--help']);
  t.equal(status, 0);
  const docs = fs.readFileSync(path.join(checkout, 'docs/installing.md'), 'utf8');
  const flags = [...out.matchAll(/(?<=^ +|, )--[a-z-]+/gm)].map(([flag]) => flag);
  t.ok(flags.length > 15);
  t.same(
    flags.filter((flag) => !docs.includes(flag)),
    [],
  );
  const statuses = [...out.matchAll(/^ +(\d+|128\+n) {2}/gm)].map(([, number]) => number);
  const section = docs.slice(docs.indexOf('## Exit status'), docs.indexOf('## Where things are'));
  t.same(
    statuses,
    [...section.matchAll(/^\| (\d+|128\+n) \|/gm)].map(([, number]) => number),
  );
  const used = fs.readFileSync(path.join(checkout, 'installer/lib/say.sh'), 'utf8');
  for (const [, number] of used.matchAll(/^exit_\w+=(\d+)$/gm))
    t.ok(statuses.includes(number), `status ${number}`);
});
