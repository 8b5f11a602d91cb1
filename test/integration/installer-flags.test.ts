// The installer's command line: whatever is wrong with it is named, and nothing changes.
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
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
  ];
  for (const [line, why] of wrong) await site.refuses(t, line.split(' ').filter(Boolean), { why });
});

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
