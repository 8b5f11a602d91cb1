// The other roles, each installed silently in place of the one before, in a virtual machine:
// `npm run test:vm:roles`.
import type { Test } from 'tap';
import { byId, newer } from './host-machine.ts';
import type { Machine } from './machine.ts';
import { givePassphrase, minutes, prepareDisks, scenario, unpack, type Scene } from './scenario.ts';

scenario('a host of each other role', [
  [
    'disks as an administrator prepares them',
    async (t, scene) => {
      await prepareDisks(t, scene.machine);
      await unpack(scene.machine, newer);
      await givePassphrase(scene);
    },
  ],
  ['a configuration server runs there without root', (t, { machine }) => installServer(t, machine)],
  ['so does a process server, beside another one', (t, scene) => serveProcesses(t, scene)],
  ['a mobility service, once its disk is named', (t, scene) => serveDisk(t, scene)],
  ['all of them in one', (t, { machine }) => serveAllInOne(t, machine)],
]);

/** Installed silently, in place of what ran there before: its unit starts and stops as it should. */
async function serveProcesses(t: Test, { machine, server }: Scene): Promise<void> {
  const service = 'homeward-process-server.service';
  const approved = server.approve();
  await anew(t, machine, `-q -r ProcessServer -i 10.0.2.2 -p ${server.port} -P /root/passphrase`);
  await approved;
  await runsAs(t, machine, service, 'homeward');
  await server.untilHeard('homeward', 'process-server');
  await stops(t, machine, service);
}

async function serveDisk(t: Test, { machine, server }: Scene): Promise<void> {
  const service = 'homeward-mobility.service';
  const said = await anew(t, machine, `-q -r Agent -i 10.0.2.2 -p ${server.port} -P /root/passphrase`);
  t.match(said, /Service +homeward-mobility\.service: waits for its disks/);
  t.not((await machine.run(`systemctl is-active -q ${service}`)).status, 0);
  await machine.ok(
    `
    config=/usr/local/ASR/Vx/etc/drscout.conf
    printf '[homeward]\\nMachineDisks = sda=/dev/disk/by-id/%s\\n' ${byId('target')} >> $config
    printf 'MachineListen = unix:/run/homeward/web.sock\\n' >> $config
    homeward config service --write --config $config && systemctl restart ${service}
  `,
    8 * minutes,
  );
  await runsAs(t, machine, service, 'root');
  await server.untilHeard('homeward', 'mobility');
  await machine.ok(
    `qemu-io -f raw -c 'write -P 7 0 1M' -c flush 'nbd+unix:///sda?socket=/run/homeward/web.sock'`,
  );
  const written = `cmp -n 1048576 /dev/disk/by-id/${byId('target')} <(tr '\\0' '\\007' < /dev/zero)`;
  await machine.ok(`bash -c "${written}"`);
  await stops(t, machine, service);
}

/** As on a host that has nothing of the roles before: it would go on with what they have left. */
async function serveAllInOne(t: Test, machine: Machine): Promise<void> {
  await machine.ok(`
    rm -rf /var/lib/homeward
    disk=/dev/disk/by-id/${byId('retention')}; uuid=$(blkid -o value -s UUID $disk)
    umount /retention && mkfs.xfs -qf -m uuid=$uuid $disk && mount /retention
  `);
  const accepted = '--accept all --because "the disk is a scratch disk"';
  await anew(t, machine, `-q -r AllInOne --retention-volume /retention ${accepted}`);
  const service = 'homeward-all-in-one.service';
  await runsAs(t, machine, service, 'root');
  await machine.ok('homeward status --json 2>/dev/null');
  await stops(t, machine, service);
}

/** Gives back what the installer said. */
async function anew(t: Test, machine: Machine, flags: string): Promise<string> {
  const release = `/root/homeward-${newer}`;
  await machine.ok(`${release}/uninstall.sh -Y && rm -f /usr/local/ASR/Vx/etc/drscout.conf`, 5 * minutes);
  const { status, out } = await machine.run(`${release}/install.sh ${flags}`, 15 * minutes);
  t.equal(status, 0, out);
  return out;
}

async function runsAs(t: Test, machine: Machine, service: string, user: string): Promise<void> {
  t.equal((await machine.ok(`systemctl is-active ${service}`)).trim(), 'active');
  const shown = await machine.ok(`systemctl show -p StatusText,NRestarts,WatchdogUSec ${service}`);
  t.match(shown, /StatusText=(?:serving|protecting) /);
  t.match(shown, 'NRestarts=0\n');
  t.match(shown, 'WatchdogUSec=1min 30s\n');
  const pid = (await machine.ok(`systemctl show -p MainPID --value ${service}`)).trim();
  t.equal((await machine.ok(`ps -o user= -p ${pid}`)).trim(), user);
  const exposure = await machine.ok(`systemd-analyze security --no-pager ${service} | tail -n 1`);
  t.ok(Number(/: ([\d.]+) /.exec(exposure)?.[1]) < 4, exposure);
}

async function stops(t: Test, machine: Machine, service: string): Promise<void> {
  await machine.ok(`systemctl stop ${service}`, 5 * minutes);
  const shown = await machine.ok(`systemctl show -p Result,ExecMainStatus ${service}`);
  t.match(shown, 'Result=success\n');
  t.match(shown, 'ExecMainStatus=0\n');
}

async function installServer(t: Test, machine: Machine): Promise<void> {
  const { status, out } = await machine.run(
    `/root/homeward-${newer}/install.sh -q -r ConfigServer`,
    15 * minutes,
  );
  t.equal(status, 0, out);
  const server = 'homeward-config-server.service';
  t.equal((await machine.ok(`systemctl is-active ${server}`)).trim(), 'active');
  const pid = (await machine.ok(`systemctl show -p MainPID --value ${server}`)).trim();
  t.equal((await machine.ok(`ps -o user= -p ${pid}`)).trim(), 'homeward');
  t.match(await machine.ok(`systemctl show -p StatusText ${server}`), 'serving at 127.0.0.1:443\n');
  t.match((await machine.ok(`ss -Hltnp sport = :443`)).trim(), `pid=${pid},`);
}
