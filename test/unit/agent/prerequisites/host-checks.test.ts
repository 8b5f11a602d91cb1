// The checks of the host besides its disks, on hosts that are made up: each passes and fails when it should.
import t from 'tap';
import { allChecks } from '../../../../agent/prerequisites/all-checks.ts';
import { emptyContext, type CheckContext, type Finding } from '../../../../agent/prerequisites/check.ts';
import { countOnline } from '../../../../agent/prerequisites/cpu.ts';
import { runChecks } from '../../../../agent/prerequisites/run-checks.ts';
import { simpleHost, type SimpleHost } from '../../../support/simple-host.ts';

const base = emptyContext('master-target', '1.2.0', '/var/lib/homeward/master-target');

function find(id: string, host: SimpleHost, context: Partial<CheckContext> = {}): Promise<Finding> {
  const check = allChecks.find((one) => one.id === id);
  if (check === undefined) throw new Error(`there is no check ${id}`);
  return check.run(simpleHost(host), { ...base, ...context });
}

const release = (text: string): SimpleHost => ({ files: { '/etc/os-release': text } });

t.test('a distribution is supported by its family and version', async (t) => {
  const cases: [string, Finding['result']][] = [
    ['ID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="8.10"', 'pass'],
    ['ID="ol"\nVERSION_ID="9.4"', 'pass'],
    ["ID='centos'\nVERSION_ID='10'", 'pass'],
    ['ID="centos"\nID_LIKE="rhel fedora"\nVERSION_ID="7"\nPRETTY_NAME="CentOS Linux 7 (Core)"', 'fail'],
    ['ID=debian\nVERSION_ID="11"', 'pass'],
    ['ID=debian\nVERSION_ID="10"', 'fail'],
    ['ID=debian\nPRETTY_NAME="Debian GNU/Linux forky/sid"', 'warn'],
    ['ID=ubuntu\nID_LIKE=debian\nVERSION_ID="20.04"', 'pass'],
    ['ID=ubuntu\nID_LIKE=debian\nVERSION_ID="18.04"', 'fail'],
    ['ID=fedora\nVERSION_ID=40', 'warn'],
    ['ID=linuxmint\nID_LIKE="ubuntu debian"\nVERSION_ID="21.3"', 'warn'],
  ];
  for (const [text, result] of cases)
    t.equal((await find('os-supported', release(text))).result, result, text);
  t.equal((await find('os-supported', {})).result, 'warn');
  t.equal((await find('os-supported', { architecture: 's390x' })).result, 'fail');
});

t.test('EL 7 is told why', async (t) => {
  const { found, action } = await find('os-supported', release('ID="centos"\nVERSION_ID="7"'));
  t.match(found, 'glibc 2.17');
  t.match(action, 'EL 8');
});

t.test('the C library is glibc 2.28 or later', async (t) => {
  const glibc = (said: string): Promise<Finding> =>
    find('glibc', { commands: { 'getconf GNU_LIBC_VERSION': said } });
  t.equal((await glibc('glibc 2.28\n')).result, 'pass');
  t.equal((await glibc('glibc 2.17\n')).result, 'fail');
  t.equal(
    (await find('glibc', { commands: { 'ldd --version': 'ldd (GNU libc) 2.34\nCopyright' } })).result,
    'pass',
  );
  t.match(
    (await find('glibc', { commands: { 'ldd --version': 'musl libc (x86_64)\n' } })).found,
    'not the GNU',
  );
});

const eight = { '/etc/os-release': 'ID="rocky"\nID_LIKE="rhel"\nVERSION_ID="8.9"' };
const nine = { '/etc/os-release': 'ID="rocky"\nID_LIKE="rhel"\nVERSION_ID="9.3"' };
const lvm = { '/usr/sbin/lvm': '', '/etc/lvm/lvm.conf': 'devices {\n\tdir = "/dev"\n}\n' };

t.test('lvm-quiet: an LVM that looks at every disk fails, and says how to change it', async (t) => {
  const { result, action } = await find('lvm-quiet', { files: { ...eight, ...lvm } });
  t.equal(result, 'fail');
  t.match(action, 'ApplyCustomChanges.sh');
});

t.test('lvm-quiet: a filter that rejects the rest passes, one that does not fails', async (t) => {
  const withFilter = async (line: string): Promise<string> => {
    const files = { ...eight, ...lvm, '/etc/lvm/lvm.conf': `devices {\n${line}\n}\n` };
    return (await find('lvm-quiet', { files })).result;
  };
  t.equal(await withFilter('\tglobal_filter = [ "a|^/dev/disk/by-id/wwn-0x5-part2$|", "r|.*|" ]'), 'pass');
  t.equal(await withFilter('\tglobal_filter = [\n\t\t"a|/dev/sda|",\n\t\t"r/.*/"\n\t]'), 'pass');
  t.equal(await withFilter('\tglobal_filter = [ "r|/dev/fd.*|", "a|.*|" ]'), 'fail');
  t.equal(await withFilter('\t# global_filter = [ "r|.*|" ]'), 'fail');
  t.equal(await withFilter('\tfilter = [ "r|.*|" ]'), 'fail', 'udev does not go by that one');
});

t.test('lvm-quiet: on EL 9 the devices file counts, unless it is not used', async (t) => {
  const devices = { '/usr/sbin/lvmdevices': '', '/etc/lvm/devices/system.devices': 'VERSION=1.1.1\n' };
  const result = async (files: Record<string, string>): Promise<string> =>
    (await find('lvm-quiet', { files })).result;
  t.equal(await result({ ...nine, ...lvm, ...devices }), 'pass');
  t.equal(await result({ ...nine, ...lvm, '/usr/sbin/lvmdevices': '' }), 'fail');
  const off = { '/etc/lvm/lvm.conf': 'devices {\n\tuse_devicesfile = 0\n}\n' };
  t.equal(await result({ ...nine, ...lvm, ...devices, ...off }), 'fail');
  t.equal(await result({ ...eight, ...lvm, ...devices }), 'fail', 'EL 8 does not go by it by itself');
});

t.test('lvm-quiet: mdadm, udisks, os-prober and an initramfs that is due are named', async (t) => {
  const { found } = await find('lvm-quiet', {
    files: {
      ...nine,
      '/usr/sbin/mdadm': '',
      '/etc/mdadm.conf': 'AUTO +imsm +1.x -all\n',
      '/usr/bin/udisksctl': '',
      '/etc/grub.d/30_os-prober': '',
      '/etc/default/grub': '#GRUB_DISABLE_OS_PROBER=true\n',
      '/var/lib/homeward/custom-changes/initramfs-due': '',
    },
  });
  for (const word of ['mdadm', 'udisks', 'os-prober', 'initramfs']) t.match(found, word);
});

t.test('multipath: not installed, left to itself, and kept away from what is not in use', async (t) => {
  t.equal((await find('multipath', {})).result, 'pass');
  const files = { '/etc/multipath.conf': 'defaults {\n\tfind_multipaths yes\n}\n' };
  t.equal((await find('multipath', { files })).result, 'fail');
  const homeward = 'blacklist {\n\twwid ".*"\n}\nblacklist_exceptions {\n\twwid "^3600$"\n}\n';
  const quiet = { ...files, '/etc/multipath/conf.d/homeward.conf': homeward };
  t.equal((await find('multipath', { files: quiet })).result, 'pass');
  const exceptions = 'blacklist_exceptions {\n\twwid ".*"\n}\n';
  const all = { ...quiet, '/etc/multipath/conf.d/site.conf': exceptions };
  t.equal((await find('multipath', { files: all })).result, 'fail', 'what takes all of it back');
});

t.test('clock: by timedatectl, by chrony, and against the configuration server', async (t) => {
  const timedatectl = 'timedatectl show --property=NTPSynchronized --value';
  const clock = (
    said: string | null,
    chrony: string | null,
    clockOffsetMs: number | null,
  ): Promise<Finding> =>
    find(
      'clock',
      {
        commands: {
          ...(said === null ? {} : { [timedatectl]: said }),
          ...(chrony === null ? {} : { 'chronyc -n tracking': chrony }),
        },
      },
      { clockOffsetMs },
    );
  t.equal((await clock('yes\n', null, 500)).result, 'pass');
  t.equal((await clock('no\n', null, null)).result, 'fail');
  t.equal((await clock(null, 'Leap status     : Normal\n', null)).result, 'pass');
  t.equal((await clock(null, 'Leap status     : Not synchronised\n', null)).result, 'fail');
  t.equal((await clock(null, null, null)).result, 'warn');
  const apart = await clock('yes\n', null, -16 * 60_000);
  t.equal(apart.result, 'fail');
  t.match(apart.found, '16 min ahead of');
  t.match((await clock('yes\n', null, 90_000)).found, '90 s behind');
});

t.test('name-resolution and ports name each server, and what is wrong with it', async (t) => {
  const context = {
    configServer: { host: 'cs.example', port: 443 },
    processServers: [
      { host: '10.0.0.7', port: 9443 },
      { host: 'ps2.example', port: 9443 },
    ],
  };
  const host: SimpleHost = {
    files: { '/proc/sys/kernel/hostname': 'mt1\n' },
    names: { mt1: ['10.0.0.5'], 'cs.example': ['10.0.0.1'] },
    ports: ['cs.example:443', '10.0.0.7:9443'],
  };
  t.equal((await find('name-resolution', host, context)).found, 'cannot be resolved: ps2.example');
  const { result, found } = await find('ports', host, context);
  t.equal(result, 'fail');
  t.match(found, 'process server ps2.example:9443: nobody listens there');
  t.match(found, 'reached configuration server cs.example:443, process server 10.0.0.7:9443');
  t.equal((await find('ports', host)).result, 'skipped');
});

t.test('version: master target ≤ process server ≤ configuration server', async (t) => {
  const versions = (role: CheckContext['role'], cs: string, ps: string): Promise<Finding> =>
    find(
      'version',
      {},
      {
        role,
        versions: [
          { role: 'config-server', name: 'cs', version: cs },
          { role: 'process-server', name: 'ps', version: ps },
        ],
      },
    );
  t.equal((await versions('master-target', '1.2.0', '1.2.0')).result, 'pass');
  t.equal((await versions('master-target', '1.3.0', '1.2.1')).result, 'pass');
  const newer = await versions('master-target', '1.2.0', '1.1.9');
  t.equal(newer.result, 'fail');
  t.match(newer.found, 'process server ps has 1.1.9');
  t.equal((await versions('process-server', '1.2.0', '1.0.0')).result, 'pass', 'beside it, not above it');
  t.equal((await versions('config-server', '1.0.0', '1.0.0')).result, 'pass');
});

t.test('source-filesystems: what protected machines have is needed, the rest is mentioned', async (t) => {
  const files = { '/usr/sbin/xfs_repair': '', '/usr/sbin/e2fsck': '' };
  const commands = { 'dpkg-query --version': 'dpkg-query\n', 'apt-get --version': 'apt\n' };
  t.equal((await find('source-filesystems', { files, commands })).result, 'pass');
  const { result, action } = await find(
    'source-filesystems',
    { files, commands },
    { sourceFileSystems: ['xfs', 'btrfs'] },
  );
  t.equal(result, 'fail');
  t.match(action, 'sudo apt-get install btrfs-progs');
});

t.test('selinux: wrong labels fail where they are enforced', async (t) => {
  const line = 'restorecon -n -v -R /usr/local/ASR';
  const host = (mode: string, stdout: string): SimpleHost => ({
    files: { '/sys/fs/selinux/enforce': mode, '/usr/local/ASR/Vx': '' },
    commands: { [line]: stdout },
  });
  const wrong = 'Would relabel /usr/local/ASR/Vx/bin/homeward from a:b:c to a:b:d\n';
  t.equal((await find('selinux', host('1', ''))).result, 'pass');
  t.equal((await find('selinux', host('1', wrong))).result, 'fail');
  t.equal((await find('selinux', host('0', wrong))).result, 'warn');
  t.equal((await find('selinux', {})).result, 'skipped');
});

t.test('firewall: only who is asked has to let something in', async (t) => {
  t.equal((await find('firewall', {})).result, 'pass');
  const role = { ports: [9443] };
  const zone = (text: string): SimpleHost => ({ commands: { 'firewall-cmd --list-all': text } });
  t.equal((await find('firewall', zone('public\n  ports: 9443/tcp\n'), role)).result, 'pass');
  t.match((await find('firewall', zone('public\n  ports: \n'), role)).action, '--add-port=9443/tcp');
  t.equal((await find('firewall', {}, role)).result, 'skipped');
  const all = await find('firewall', zone('public\n  services: https\n'), { ports: [443, 9443] });
  t.match(all, { result: 'warn', found: /lets port 9443 in/, action: /--add-port=9443\/tcp && / });
  const none = await find('firewall', zone('public\n'), { ports: [443, 9443] });
  t.match(none, { found: /ports 443, 9443 in/, action: /--add-port=443\/tcp --add-port=9443\/tcp && / });
});

t.test('memory and processors are counted', async (t) => {
  const host: SimpleHost = {
    files: { '/proc/meminfo': 'MemTotal:        2048000 kB\n', '/sys/devices/system/cpu/online': '0\n' },
  };
  t.equal((await find('memory', host)).result, 'warn');
  t.equal((await find('cpu', host)).result, 'warn');
  t.equal(countOnline('0-3,5\n'), 5);
});

const asked = 'dpkg-query -W -f ${Package} ${db:Status-Status}\\n';

t.test('packages: rpm counts what provides a name, dpkg what is installed', async (t) => {
  const names = 'xfsprogs perl perl-interpreter lsscsi rsync wget wget2-wget kexec-tools util-linux';
  const rpm: SimpleHost = {
    files: eight,
    commands: {
      'rpm --version': 'RPM version 4.14\n',
      'dnf --version': '4\n',
      [`rpm -q --whatprovides ${names}`]: {
        status: 2,
        stdout:
          'xfsprogs-5.0-1.el8.x86_64\nno package provides perl\nperl-interpreter-5.26-1.el8.x86_64\n' +
          'no package provides lsscsi\nrsync-3-1.el8.x86_64\nwget-1-1.el8.x86_64\n' +
          'no package provides wget2-wget\nkexec-tools-2-1.el8.x86_64\nutil-linux-2-1.el8.x86_64\n',
      },
    },
  };
  const found = await find('packages', rpm);
  t.equal(found.found, 'not installed: lsscsi');
  t.match(found.action, 'sudo dnf install lsscsi');
  const deb: SimpleHost = {
    files: { '/etc/os-release': 'ID=debian\nVERSION_ID="12"' },
    commands: {
      'dpkg-query --version': 'dpkg-query\n',
      [`${asked} xfsprogs perl lsscsi rsync wget kexec-tools util-linux`]: {
        status: 1,
        stdout:
          'xfsprogs installed\nperl installed\nlsscsi installed\nrsync config-files\n' +
          'wget installed\nutil-linux installed\n',
      },
    },
  };
  t.equal((await find('packages', deb)).found, 'not installed: rsync, kexec-tools');
});

t.test('--fix without a network, and without root, is an instruction', async (t) => {
  const packages = allChecks.filter(({ id }) => id === 'packages');
  const names = 'xfsprogs perl lsscsi rsync wget kexec-tools util-linux';
  const made: SimpleHost = {
    files: { '/etc/os-release': 'ID=ubuntu\nVERSION_ID="22.04"' },
    commands: {
      'dpkg-query --version': '1\n',
      'apt-get --version': '1\n',
      [`${asked} ${names}`]: { status: 1 },
    },
  };
  const fixed = async (host: SimpleHost, offline: boolean): Promise<string> => {
    const report = await runChecks(packages, simpleHost(host), { ...base, offline }, { fix: true });
    return report.checks[0]?.fixed ?? '';
  };
  t.match(await fixed(made, true), /^not put right: .*sudo apt-get install xfsprogs/);
  t.match(await fixed({ ...made, uid: 1000 }, false), 'this needs root');
});
