// A host without a service manager, for real: the installer, the line that it prints, a command, the removal;
// on top of this host's own files, which stay as they are.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import t from 'tap';
import { cannotBuild, unpackedPackage } from '../support/built-package.ts';
import { run } from '../support/homeward.ts';
import { skipUnless } from '../support/needs.ts';
import { temporaryDirectory } from '../support/temporary.ts';

t.setTimeout(240_000);

const needs = skipUnless({ root: true, full: true, commands: ['unshare', 'mount', 'chroot', 'useradd'] });

/** In a root of its own, over that of this host: what is written lies in memory, and goes. */
const apart = `set -e
mount -t tmpfs none "$2"
mkdir "$2/upper" "$2/work" "$2/root"
mount -t overlay -o "lowerdir=/,upperdir=$2/upper,workdir=$2/work" none "$2/root"
mount --rbind "$1" "$2/root$1"
for place in run var/lib/homeward; do mkdir -p "$2/root/$place"; mount -t tmpfs none "$2/root/$place"; done
mount -t proc none "$2/root/proc"
mount --rbind /dev "$2/root/dev"
exec chroot "$2/root" /bin/bash -c "$3" by-hand "$1"`;

const script = `exec 2>&1
set -x
"$1/install.sh" -q -r MT --alone --offline --accept all --because 'a test' || exit 1
getent group homeward
stat -c '%G %a' /var/log/homeward /usr/local/ASR/Vx/etc/drscout.conf
sed -i 's|^CheckAtStart.*||; $ a CheckAtStart = no' /usr/local/ASR/Vx/etc/drscout.conf
/usr/local/ASR/Vx/bin/homeward master-target --config /usr/local/ASR/Vx/etc/drscout.conf >/daemon 2>&1 &
daemon=$!
for try in $(seq 300); do grep -q ready /daemon && break; kill -0 $daemon || break; sleep 0.1; done
cat /daemon
stat -c '%U:%G %a' /run/homeward
homeward status && echo asked
kill $daemon; wait $daemon; echo "stopped with $?"
/usr/local/ASR/Vx/current/installer/uninstall.sh -Y && echo removed
`;

const cannotMount = spawnSync('unshare', ['--mount', 'true']).status === 0 ? false : 'cannot mount';

t.test('installed and started by hand', { skip: cannotBuild || needs || cannotMount }, async (t) => {
  const { directory } = await unpackedPackage(t);
  const place = temporaryDirectory(t);
  const installed = '/usr/local/ASR/Vx';
  const before = fs.existsSync(installed);
  const { status, out, err } = await run('unshare', [
    ...['--mount', '--pid', '--fork', '--kill-child'],
    ...['/bin/sh', '-c', apart, 'apart', directory, place, script],
  ]);
  t.equal(status, 0, out + err);
  t.match(out, /There is no systemd here\. Start it, at every boot, with:/);
  t.match(out, /^homeward:x:\d+:/m, 'whoever may use the control socket');
  t.match(out, /^homeward 770$/m);
  t.match(out, /^homeward 640$/m);
  t.match(out, /ready/);
  t.match(out, /^root:homeward 750$/m, 'where its socket is');
  t.match(out, /^asked$/m);
  t.match(out, /^stopped with 0$/m);
  t.match(out, /^removed$/m);
  t.equal(fs.existsSync(installed), before, 'nothing of it is on this host');
});
