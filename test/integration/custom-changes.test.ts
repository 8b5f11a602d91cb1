// ApplyCustomChanges.sh on hosts as their installers leave them: what it changes, that a second run changes
// nothing, that all of it can be taken back, and that an interruption leaves every file old or new.
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { debian, debian12, el8, el9, multipathRoot } from '../support/custom-changes-roots.ts';
import { skipUnless } from '../support/needs.ts';
import { chooseSeed, seededRandom } from '../support/random.ts';
import { makeSystemRoot, type SystemRoot } from '../support/system-root.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const script = path.resolve('installer/ApplyCustomChanges.sh');

interface Ran {
  status: number | null;
  out: string;
  err: string;
}

interface FakeHost {
  root: string;
  run(args: readonly string[], environment?: Record<string, string>): Ran;
  read(file: string): string;
  /** Every file below /etc and /var with its mode and content. */
  tree(): Record<string, string>;
}

function fakeHost(t: Test, system: SystemRoot): FakeHost {
  const directory = temporaryDirectory(t);
  const root = path.join(directory, 'root');
  makeSystemRoot(root, system);
  fs.mkdirSync(path.join(root, 'var/lib'), { recursive: true });
  fs.mkdirSync(path.join(directory, 'tmp'));
  return {
    root,
    run(args, environment = {}) {
      const { status, stdout, stderr } = spawnSync(script, ['--root', root, ...args], {
        env: { ...process.env, TMPDIR: path.join(directory, 'tmp'), ...environment },
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      return { status, out: stdout, err: stderr };
    },
    read: (file) => fs.readFileSync(path.join(root, file), 'utf8'),
    tree: () => ({ ...treeOf(root, 'etc'), ...treeOf(root, 'var') }),
  };
}

function treeOf(root: string, below: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of fs.readdirSync(path.join(root, below), { recursive: true, encoding: 'utf8' })) {
    const file = path.join(root, below, name);
    const stat = fs.statSync(file);
    const text = stat.isFile() ? fs.readFileSync(file, 'utf8') : 'directory';
    found[path.join(below, name)] = `${(stat.mode & 0o777).toString(8)} ${text}`;
  }
  return found;
}

const apply = ['--yes', '--rebuild', 'true'] as const;
const takeBack = ['--revert', ...apply] as const;

t.test(
  'on EL 8, LVM sees the physical volume of the root alone, and the others leave replicas alone',
  async (t) => {
    const host = fakeHost(t, el8);
    const { status, out } = host.run(apply);
    t.equal(status, 0);
    const [filter] = /^\tglobal_filter = .*$/m.exec(host.read('etc/lvm/lvm.conf')) ?? [];
    t.equal(filter, '\tglobal_filter = [ "a|^/dev/disk/by-id/wwn-0x6000c29a-part2$|", "r|.*|" ]');
    t.match(out, /A restart is needed.*\/dev\/mapper\/guest-root$/m, 'the group of a replica is active');
    t.match(host.read('etc/mdadm.conf'), /^AUTO -all$/m);
    t.match(host.read('etc/multipath/conf.d/homeward.conf'), /^blacklist \{\n\twwid "\.\*"\n\}$/m);
    t.match(host.read('etc/default/grub'), /^GRUB_DISABLE_OS_PROBER=true$/m);
    const rules = host.read('etc/udev/rules.d/90-homeward-replicas.rules');
    t.match(rules, 'SYMLINK=="disk/by-id/wwn-0x6000c29b|disk/by-id/wwn-0x6000c29b-part*"');
    t.notMatch(rules, '6000c29c', 'the replica is not passed over');
    t.match(host.read('etc/fstab'), /^UUID=feed-beef \/retention xfs defaults 0 0$/m);
  },
);

t.test('a root on multipath stays on it, and a replica that multipath holds is named', async (t) => {
  const host = fakeHost(t, multipathRoot);
  const { status, out } = host.run(apply);
  t.equal(status, 0);
  t.match(
    host.read('etc/multipath/conf.d/homeward.conf'),
    /^blacklist_exceptions \{\n\twwid "\^3600c0ff000d0e1f2\$"\n\}$/m,
  );
  t.match(
    host.read('etc/lvm/lvm.conf'),
    'global_filter = [ "a|^/dev/disk/by-id/dm-uuid-part2-mpath-3600c0ff000d0e1f2$|", "r|.*|" ]',
  );
  t.match(out, /A restart is needed.*: \/dev\/mapper\/mpathb$/m);
  t.match(host.run(apply).out, 'already applied');
});

t.test('on EL 9, the devices file stays as it is and is used', async (t) => {
  const host = fakeHost(t, el9);
  const before = host.read('etc/lvm/devices/system.devices');
  const { status, out } = host.run(apply);
  t.equal(status, 0);
  t.equal(host.read('etc/lvm/devices/system.devices'), before);
  t.notMatch(host.read('etc/lvm/lvm.conf'), /^[ \t]*use_devicesfile/m);
  t.notMatch(host.read('etc/lvm/lvm.conf'), /^[ \t]*global_filter/m);
  t.match(out, 'No restart is needed');
});

t.test('on EL 9 without a devices file one is made, with what the root lies on', async (t) => {
  const files = { ...el9.files };
  delete (files as Record<string, string>)['etc/lvm/devices/system.devices'];
  const host = fakeHost(t, { ...el9, files });
  t.equal(host.run(apply).status, 0);
  const devices = host.read('etc/lvm/devices/system.devices');
  t.match(devices, /^VERSION=1\.1\.1$/m);
  t.match(
    devices,
    'IDTYPE=sys_wwid IDNAME=naa.6000c29a DEVNAME=/dev/sda2 PVID=f1N2aB34cdEF56gh78IJ90kl12MN34op PART=2\n',
  );
  t.notMatch(devices, 'sdc');
  t.equal(host.run(takeBack).status, 0);
  t.notOk(fs.existsSync(path.join(host.root, 'etc/lvm/devices')));
});

t.test(
  'on Debian 12, where a filter would keep groups from being activated, the devices file is used',
  async (t) => {
    const host = fakeHost(t, debian12);
    t.equal(host.run(apply).status, 0);
    t.match(host.read('etc/lvm/lvm.conf'), /^devices \{\n\t# BEGIN homeward.*\n\tuse_devicesfile = 1\n/m);
    t.match(
      host.read('etc/lvm/devices/system.devices'),
      /^VERSION=1\.1\.1\nIDTYPE=devname IDNAME=\/dev\/vdb DEVNAME=\/dev\/vdb PVID=own000pv\n$/m,
    );
    t.match(host.run(apply).out, 'already applied');
    t.equal(host.run(takeBack).status, 0);
    t.notOk(fs.existsSync(path.join(host.root, 'etc/lvm/devices')));
  },
);

t.test('what lvmlocal.conf says of the same goes over lvm.conf, so it gives way, too', async (t) => {
  const cases = [
    [el8, 'devices {\n\tglobal_filter = [\n\t\t"a|.*|"\n\t]\n}\n', 'global_filter'],
    [debian12, 'devices {\n\tuse_devicesfile = 0\n}\n', 'use_devicesfile'],
    [el9, 'devices/use_devicesfile=0\n', 'use_devicesfile'],
  ] as const;
  for (const [system, local, key] of cases) {
    const host = fakeHost(t, { ...system, files: { ...system.files, 'etc/lvm/lvmlocal.conf': local } });
    t.equal(host.run(apply).status, 0);
    t.notMatch(host.read('etc/lvm/lvmlocal.conf'), new RegExp(`^[^#]*${key}`, 'm'));
    t.match(host.run(apply).out, 'already applied');
    t.equal(host.run(takeBack).status, 0);
    t.equal(host.read('etc/lvm/lvmlocal.conf'), local);
  }
});

t.test('a key of LVM that shares its line with others is named, and nothing is changed', async (t) => {
  const shared = [
    [
      el8,
      'lvm.conf',
      '# mine\ndevices { global_filter = [ "a|.*|" ] }\n',
      'sets global_filter in its line 2',
    ],
    [el9, 'lvmlocal.conf', 'devices\n{use_devicesfile=0}\n', 'sets use_devicesfile in its line 2'],
    [debian12, 'lvmlocal.conf', 'devices { use_devicesfile = 0 }\n', 'sets use_devicesfile in its line 1'],
  ] as const;
  for (const [system, file, text, says] of shared) {
    const host = fakeHost(t, { ...system, files: { ...system.files, [`etc/lvm/${file}`]: text } });
    const { status, err } = host.run(apply);
    t.equal(status, 1);
    t.match(err, `nothing was changed: /etc/lvm/${file} ${says} `);
    t.equal(host.read(`etc/lvm/${file}`), text);
  }
});

t.test('on Debian 11 a filter of several lines gives way, and the arrays in use are listed', async (t) => {
  const host = fakeHost(t, debian);
  t.equal(host.run(apply).status, 0);
  const filters = host.read('etc/lvm/lvm.conf').match(/^[ \t]*global_filter.*$/gm);
  t.same(filters, ['\tglobal_filter = [ "a|^/dev/disk/by-path/pci-0000:05:00.0$|", "r|.*|" ]']);
  t.match(host.read('etc/lvm/lvm.conf'), /^#homeward# \t\t"a\|\.\*\|"$/m);
  const mdadm = host.read('etc/mdadm/mdadm.conf');
  t.match(mdadm, /^AUTO -all\nARRAY \/dev\/md127 UUID=0a1b2c3d:4e5f6071:8293a4b5:c6d7e8f9$/m);
  t.match(host.read('etc/crypttab'), /^data UUID=c0de-c0de none luks$/m);
});

for (const [name, system] of Object.entries({ 'EL 8': el8, 'EL 9': el9, 'Debian 11': debian })) {
  t.test(`${name}: shown, then a second run changes nothing, then taken back, to the byte`, async (t) => {
    const host = fakeHost(t, system);
    const before = host.tree();
    const shown = host.run(['--dry-run']);
    t.equal(shown.status, 0);
    t.match(shown.out, '+++ /etc/lvm/lvm.conf (then)');
    t.match(shown.out, 'Nothing was changed');
    t.match(shown.out, /The initramfs below \S+ is left alone/);
    t.match(host.run(['--dry-run', '--rebuild', 'true']).out, 'the initramfs would be rebuilt');
    t.same(host.tree(), before, '--dry-run changes nothing');
    host.run(apply);
    const once = host.tree();
    t.not(once['etc/lvm/lvm.conf'], before['etc/lvm/lvm.conf']);
    const again = host.run(apply);
    t.equal(again.status, 0);
    t.match(again.out, 'already applied');
    t.same(host.tree(), once, 'a second run changes nothing');
    t.equal(host.run(takeBack).status, 0);
    t.same(host.tree(), before, 'taken back, all is as it was');
    t.match(host.run(takeBack).out, 'nothing to take back');
  });
}

t.test('what was in use once stays visible, also when it is not mounted at the next run', async (t) => {
  const host = fakeHost(t, debian);
  host.run(apply);
  const before = host.read('etc/lvm/lvm.conf');
  const mounts = path.join(host.root, 'proc/self/mountinfo');
  fs.writeFileSync(mounts, fs.readFileSync(mounts, 'utf8').replace(/^.* \/data .*\n/m, ''));
  t.match(host.run(apply).out, 'already applied');
  t.equal(host.read('etc/lvm/lvm.conf'), before);
});

t.test('of a file that somebody has edited since, only our part is taken out', async (t) => {
  const host = fakeHost(t, el8);
  const before = host.read('etc/lvm/lvm.conf');
  host.run(apply);
  fs.appendFileSync(path.join(host.root, 'etc/lvm/lvm.conf'), '# by hand\n');
  const { status, out } = host.run(takeBack);
  t.equal(status, 0);
  t.match(out, 'lvm.conf was edited since');
  t.equal(host.read('etc/lvm/lvm.conf'), before + '# by hand\n');
});

t.test('marks that lost their end are not guessed at', async (t) => {
  const host = fakeHost(t, el8);
  host.run(apply);
  const file = path.join(host.root, 'etc/lvm/lvm.conf');
  fs.writeFileSync(file, host.read('etc/lvm/lvm.conf').replace(/.*# END homeward\n/, ''));
  const before = host.tree();
  const { status, err } = host.run(apply);
  t.equal(status, 1);
  t.match(err, 'were edited: nothing was changed');
  t.same(host.tree(), before);
});

t.test('an image whose root lies on LVM is not made unbootable by a guess', async (t) => {
  const host = fakeHost(t, { ...el8, disks: [], mapped: [], mounts: {} });
  fs.rmSync(path.join(host.root, 'sys'), { recursive: true });
  const { status, err } = host.run(apply);
  t.equal(status, 1);
  t.match(err, 'lies on LVM');
  t.equal(host.read('etc/lvm/lvm.conf'), el8.files['etc/lvm/lvm.conf']);
});

t.test('nobody to ask, an unknown option and a missing value are told, and change nothing', async (t) => {
  const host = fakeHost(t, el8);
  const before = treeOf(host.root, 'etc');
  const silent = host.run([]);
  t.equal(silent.status, 2);
  t.match(silent.err, 'say --yes');
  t.equal(host.run(['--yess']).status, 2);
  t.equal(host.run(['--rebuild']).status, 2);
  t.equal(host.run(['--root', '/nowhere/at/all']).status, 2);
  t.same(treeOf(host.root, 'etc'), before);
  t.match(host.run(['--help']).out, 'Usage: ApplyCustomChanges.sh');
});

t.test('an initramfs that is not rebuilt is a failure, and is rebuilt by the next run', async (t) => {
  const host = fakeHost(t, el8);
  const failed = host.run(['--yes', '--rebuild', 'false']);
  t.equal(failed.status, 1);
  t.match(failed.err, 'the initramfs was not rebuilt');
  const again = host.run(apply);
  t.equal(again.status, 0);
  t.match(again.out, 'Rebuilding the initramfs');
  t.notMatch(host.run(apply).out, 'Rebuilding');
});

t.test('in another language it does and says the same', async (t) => {
  const host = fakeHost(t, el8);
  const other = host.run(['--dry-run'], { LANG: 'de_DE.UTF-8', LC_ALL: 'de_DE.UTF-8', TZ: 'Europe/Berlin' });
  t.equal(other.out, host.run(['--dry-run']).out);
});

t.test(
  'a root that cannot be written is told before anything',
  { skip: skipUnless({ root: true }) },
  async (t) => {
    const host = fakeHost(t, el8);
    const before = host.tree();
    execFileSync('mount', ['--bind', host.root, host.root]);
    t.teardown(() => execFileSync('umount', [host.root]));
    execFileSync('mount', ['-o', 'remount,ro,bind', host.root]);
    const { status, err } = host.run(apply);
    t.equal(status, 1);
    t.match(err, /nothing was changed: .* cannot be written \(Read-only file system\)/);
    t.same(host.tree(), before);
  },
);

/** Of some fifty calls; in the end every one has been tried. */
const stride = 9;

/** Programs in front of the real ones that kill the script at their `count`-th call, before or after it. */
function killers(t: Test, count: number, after: boolean): string {
  const directory = temporaryDirectory(t);
  for (const program of ['mv', 'sync']) {
    const real = execFileSync('sh', ['-c', `command -v ${program}`], { encoding: 'utf8' }).trim();
    fs.writeFileSync(
      path.join(directory, program),
      `#!/bin/bash
calls=$(($(cat "${directory}/calls" 2>/dev/null || echo 0) + 1))
echo "$calls" >"${directory}/calls"
[ "$calls" = ${count} ] && [ ${after} = false ] && kill -9 "$PPID" && exit 1
"${real}" "$@"
status=$?
[ "$calls" = ${count} ] && [ ${after} = true ] && kill -9 "$PPID"
exit "$status"
`,
      { mode: 0o755 },
    );
  }
  return `${directory}:${process.env['PATH'] ?? ''}`;
}

const needsMinutes = skipUnless({ full: true });

t.test(
  'killed anywhere, each file is old or new, and the next run ends it',
  { skip: needsMinutes },
  async (t) => {
    const reference = fakeHost(t, el9);
    const old = treeOf(reference.root, 'etc');
    reference.run(apply);
    const then = treeOf(reference.root, 'etc');
    let killed = 0;
    const random = seededRandom(chooseSeed(t));
    for (let count = 1 + random.below(stride); ; count += stride) {
      const host = fakeHost(t, el9);
      const before = host.tree();
      const { status } = host.run(apply, { PATH: killers(t, count, random.below(2) === 0) });
      if (status === 0) break; // it made fewer calls than that
      killed += 1;
      const now = treeOf(host.root, 'etc');
      const mixed = Object.entries(now).filter(
        ([file, content]) =>
          !file.endsWith('.homeward-new') && content !== old[file] && content !== then[file],
      );
      t.same(mixed, [], `after call ${count}`);
      if (killed % 3 === 0) {
        t.equal(host.run(takeBack).status, 0);
        t.same(host.tree(), before, `taken back after call ${count}`);
      } else {
        t.equal(host.run(apply).status, 0);
        t.same(treeOf(host.root, 'etc'), then, `run again after call ${count}`);
      }
    }
    t.ok(killed > 2, `${killed} places`);
  },
);

t.test('shellcheck finds nothing', { skip: skipUnless({ commands: ['shellcheck'] }) }, async (t) => {
  const { status, stdout } = spawnSync('shellcheck', ['-x', '-P', process.cwd(), script], {
    encoding: 'utf8',
  });
  t.equal(status, 0, stdout);
});
