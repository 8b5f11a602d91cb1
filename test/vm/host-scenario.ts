// A master target's host from its first check to the removal, in a virtual machine: `npm run test:vm`.
import type { Test } from 'tap';
import type { CheckReport } from '../../agent/prerequisites/run-checks.ts';
import { byId, lateDisk, newer, older, takeInitrd } from './host-machine.ts';
import type { Machine } from './machine.ts';
import { givePassphrase, minutes, prepareDisks, scenario, unpack, type Scene } from './scenario.ts';
import { Workload } from './workload.ts';

const unit = 'homeward-master-target.service';
const untilActive = `timeout 300 sh -c 'until systemctl is-active -q ${unit}; do sleep 1; done'`;
const control = '/run/homeward/control.sock';
const newest = `unix:/run/homeward/newest.sock`;
let workload: Workload;

scenario('a host, from its first check to the removal', [
  [
    'disks as an administrator prepares them',
    async (t, { machine }) => {
      workload = new Workload(machine);
      await prepareDisks(t, machine);
      await unpack(machine, older);
    },
  ],
  ['the checks fail for the right disks', (t, { machine }) => check(t, machine)],
  ['the installer asks, prepares the host and starts the service', (t, { machine }) => install(t, machine)],
  ['the service is what it says it is', (t, { machine }) => inspect(t, machine)],
  ['one that hangs is killed and started again', (t, { machine }) => hang(t, machine)],
  ['hostconfigcli enrols it', (t, scene) => enrol(t, scene)],
  [
    'a replica on a disk named by its WWN, a clean stop under load',
    (t, { machine }) => stopUnderLoad(t, machine),
  ],
  ['a power failure in the middle loses nothing acknowledged', (t, scene) => cutPower(t, scene)],
  ['a disk that is added is noticed', (t, scene) => addDisk(t, scene)],
  ['an upgrade keeps everything', (t, { machine }) => upgrade(t, machine)],
  ['uninstalling leaves history and replicas', (t, { machine }) => uninstall(t, machine)],
]);

async function checkReport(machine: Machine, homeward: string, more = ''): Promise<CheckReport> {
  const { out } = await machine.run(`${homeward} check --json ${more} 2>/dev/null`, 5 * minutes);
  return JSON.parse(out) as CheckReport;
}

async function check(t: Test, machine: Machine): Promise<void> {
  const homeward = `/root/homeward-${older}/release/bin/homeward`;
  const found = async (retention: string): Promise<Map<string, string>> => {
    const { checks } = await checkReport(machine, homeward, `--offline --retention ${retention}`);
    return new Map(checks.map(({ id, result, found }) => [id, `${result}: ${found}`]));
  };
  const good = await found('/retention');
  for (const id of [
    'os-supported',
    'glibc',
    'disk-count',
    'root-not-lvm',
    'retention-not-lvm',
    'uuid-unique',
  ])
    t.match(good.get(id), /^pass/, id);
  t.match(good.get('retention-volume'), /^pass/, 'retention-volume');
  const nameless = (
    await machine.ok(`
    for disk in /sys/block/sd*; do [ "$(cat $disk/device/wwid 2>/dev/null)" ] || basename $disk; done
  `)
  ).trim();
  t.match(nameless, /^sd[a-z]$/, 'the machine has one disk without an identity');
  t.match(good.get('scsi-uuid'), new RegExp(`^fail: .*\\b${nameless}\\b`));
  await machine.ok('mkdir -p /lvm && mount /dev/vg0/data /lvm');
  t.match((await found('/lvm')).get('retention-not-lvm'), /^fail: .*vg0/);
  await machine.ok('umount /lvm');
}

/** What a person types at the console; the screen is the installer's own. */
async function install(t: Test, machine: Machine): Promise<void> {
  const { console: screen } = machine;
  const answer = async (question: RegExp, text: string, timeoutMs = minutes): Promise<void> => {
    await screen.waitFor(question, timeoutMs);
    screen.type(`${text}\n`);
  };
  screen.type(
    `cd /root/homeward-${older} && ./install.sh --retention-volume /retention; echo "install"ed $?\n`,
  );
  await answer(/Where do you want to install the agent \(default \/usr\/local\/ASR\) : /, '');
  await answer(
    /1\. Mobility Service[^]*2\. Master Target[^]*Please make your choice \? \(1\/2\) \[Default: 1\] /,
    '2',
  );
  await answer(/Prepare this host with ApplyCustomChanges\.sh \?.* /, 'y', 5 * minutes);
  await answer(/Install all the same \?.* /, 'y', 10 * minutes);
  await answer(/Why may they stay so \?.* /, 'the disk is a scratch disk');
  await answer(/2\. No configuration server yet: run alone[^]*\[Default: 1\] /, '2', 5 * minutes);
  const said = await screen.waitFor(/installed \d+\r?\n/, 10 * minutes);
  t.match(said, /installed 0\r?\n$/, 'the installer ended with 0');
  t.match(said, /Service +homeward-master-target\.service: running/);
  t.equal((await machine.ok('cat /usr/local/.vx_version')).match(/^VERSION=(.*)$/m)?.[1], older);
  t.match(await machine.ok('homeward --version'), older);
}

async function inspect(t: Test, machine: Machine): Promise<void> {
  const shown = await machine.ok(
    `systemctl show -p ActiveState,StatusText,WatchdogUSec,RequiresMountsFor,NRestarts ${unit}`,
  );
  t.match(shown, 'ActiveState=active\n');
  t.match(shown, `StatusText=serving, control socket ${control}\n`);
  t.match(shown, 'WatchdogUSec=1min 30s\n');
  t.match(shown, /RequiresMountsFor=.*\/retention/);
  t.match(shown, 'NRestarts=0\n');
  const status = JSON.parse(await machine.ok('homeward status --json 2>/dev/null')) as {
    accepted?: unknown[];
  };
  t.equal(status.accepted?.length, 1, 'what was accepted is shown');
  const exposure = await machine.ok(`systemd-analyze security --no-pager ${unit} | tail -n 1`);
  t.ok(Number(/: ([\d.]+) /.exec(exposure)?.[1]) < 4, exposure);
  t.equal((await machine.ok(`stat -c '%a %U %G' ${control}`)).trim(), '660 root homeward');
  const line = (await machine.ok(`journalctl -q -u ${unit} -o json | grep event=started | tail -n 1`)).trim();
  t.match(JSON.parse(line), {
    SYSLOG_IDENTIFIER: 'homeward-master-target',
    PRIORITY: '6',
    MESSAGE: /^level=info event=started .*retention=\/retention/,
  });
}

async function hang(t: Test, machine: Machine): Promise<void> {
  const dropIn = `/run/systemd/system/${unit}.d/sooner.conf`;
  await machine.ok(
    `
    mkdir -p $(dirname ${dropIn}) && printf '[Service]\\nWatchdogSec=20\\n' > ${dropIn}
    systemctl daemon-reload && systemctl restart ${unit}
    kill -STOP $(systemctl show -p MainPID --value ${unit})
    timeout 120 sh -c 'until [ $(systemctl show -p NRestarts --value ${unit}) = 1 ]; do sleep 1; done'
    ${untilActive}
  `,
    8 * minutes,
  );
  t.match(await machine.ok(`journalctl -q -u ${unit} -o cat | grep -i watchdog`), /Watchdog timeout/);
  // Whoever stops it next starts it with its own.
  await machine.ok(`rm ${dropIn}; systemctl daemon-reload`, 5 * minutes);
}

async function enrol(t: Test, scene: Scene): Promise<void> {
  const { machine, server } = scene;
  await givePassphrase(scene);
  const approved = server.approve();
  const { status, out } = await machine.run(
    `/usr/local/ASR/Vx/bin/hostconfigcli --address 10.0.2.2 --port ${server.port} --https yes \\
      --passphrase-file /root/passphrase --wait 5m --json`,
    8 * minutes,
  );
  await approved;
  t.equal(status, 0, out);
  await server.untilHeard('homeward', 'master-target');
  t.match(await machine.ok('cat /usr/local/ASR/Vx/etc/drscout.conf'), /ConfigServerAddress *= *10\.0\.2\.2/);
  t.equal((await machine.ok(`systemctl is-active ${unit}`)).trim(), 'active');
}

async function stopUnderLoad(t: Test, machine: Machine): Promise<void> {
  await workload.openOn(byId('target'));
  await workload.begin();
  await workload.untilAcknowledged(100);
  await machine.ok(`systemctl stop ${unit}`, 5 * minutes);
  const shown = await machine.ok(`systemctl show -p Result,ExecMainCode,ExecMainStatus ${unit}`);
  t.match(shown, 'Result=success\n');
  t.match(shown, 'ExecMainStatus=0\n');
  t.match(await machine.ok(`journalctl -q -u ${unit} -o cat | tail -n 5`), /event=stopped/);
  await machine.ok(`systemctl start ${unit}`, 5 * minutes);
  t.same(await workload.missing(newest), [], 'every acknowledged write is there');
}

/** The power fails while it writes; what it boots from then is what ApplyCustomChanges has built. */
async function cutPower(t: Test, { machine, directory }: Scene): Promise<void> {
  await machine.ok('test -e /dev/vg0/data');
  const initrd = await takeInitrd(machine, directory);
  await workload.begin();
  const before = workload.acknowledged;
  await workload.untilAcknowledged(before + 100);
  await machine.powerCut(initrd);
  await machine.ok(untilActive, 6 * minutes);
  t.same(await workload.missing(newest), [], 'every acknowledged write is there');
  t.ok(workload.acknowledged >= before + 100);
  t.not((await machine.run('test -e /dev/vg0/data')).status, 0, 'LVM left the disk alone at boot');
}

async function addDisk(t: Test, { machine, directory }: Scene): Promise<void> {
  await machine.addDisk(lateDisk(directory));
  await machine.ok(`udevadm settle && test -b /dev/disk/by-id/${byId('late')}`);
  const noticed = (event: string): string =>
    `timeout 60 sh -c 'until journalctl -q -u ${unit} -o cat | grep -q "event=${event}"; do sleep 1; done'`;
  await machine.ok(noticed('disk-added'), 2 * minutes);
  await machine.removeDisk('late');
  await machine.ok(noticed('disk-removed'), 2 * minutes);
  t.pass('it came and went');
}

async function upgrade(t: Test, machine: Machine): Promise<void> {
  await unpack(machine, newer);
  const { status, out } = await machine.run(`/root/homeward-${newer}/install.sh --yes -q`, 15 * minutes);
  t.equal(status, 0, out);
  t.match(out, `from ${older} to ${newer}`);
  t.match(await machine.ok('homeward --version'), newer);
  t.equal((await machine.ok(`systemctl is-active ${unit}`)).trim(), 'active');
  t.same(await workload.missing(newest), [], 'every acknowledged write is there');
}

async function uninstall(t: Test, machine: Machine): Promise<void> {
  const { status, out } = await machine.run(`/root/homeward-${newer}/uninstall.sh -Y`, 5 * minutes);
  t.equal(status, 0, out);
  for (const gone of [
    `/etc/systemd/system/${unit}`,
    `/etc/systemd/system/${unit}.d`,
    '/usr/local/bin/homeward',
  ])
    t.not((await machine.run(`test -e ${gone}`)).status, 0, `${gone} is gone`);
  t.not((await machine.run(`systemctl is-active -q ${unit}`)).status, 0);
  await machine.ok('test -e /retention/homeward-volume.json && ls /retention/*/machine.json');
}
