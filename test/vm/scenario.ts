// What the scenarios in a virtual machine share: how one runs, and the disks that it begins with.
import t, { type Test } from 'tap';
import { skipUnless } from '../support/needs.ts';
import { temporaryDirectory } from '../support/temporary.ts';
import { byId, startHost } from './host-machine.ts';
import type { Machine } from './machine.ts';
import { ServerBeside } from './server-beside.ts';

const commands = ['qemu-system-x86_64', 'qemu-img', 'debootstrap', 'mkfs.ext4'];
const skip = skipUnless({ root: true, commands });
export const minutes = 60_000;

/** Where a scenario goes on. */
export interface Scene {
  machine: Machine;
  /** A configuration server outside. */
  server: ServerBeside;
  /** For files of the scenario. */
  directory: string;
}

export type Step = [name: string, run: (t: Test, scene: Scene) => Promise<void>];

/** Each step goes on where the one before has ended; the first that fails ends it. */
export function scenario(name: string, steps: readonly Step[]): void {
  void t.test(name, { skip, timeout: 40 * minutes }, async (t) => {
    const directory = temporaryDirectory(t);
    const server = await ServerBeside.start(t, directory);
    const begun = performance.now();
    const machine = await startHost(directory);
    t.teardown(async () => {
      await machine.stop();
      if (!t.passing()) t.comment(machine.transcript.slice(-20_000));
    });
    for (const [what, run] of steps) {
      const from = performance.now();
      await t.test(what, { timeout: 20 * minutes }, (t) => run(t, { machine, server, directory }));
      t.comment(`${what}: ${((performance.now() - from) / 1000).toFixed(0)} s`);
      if (!t.passing()) return;
    }
    t.comment(`all: ${((performance.now() - begun) / minutes).toFixed(1)} minutes`);
  });
}

/** As an administrator does: LVM on its disk, the retention volume mounted at each start, packages there. */
export async function prepareDisks(t: Test, machine: Machine): Promise<void> {
  await machine.ok(`
    mkdir -p /packages /retention
    mount -o ro LABEL=packages /packages
    pvcreate -q /dev/disk/by-id/${byId('lvm')} && vgcreate -q vg0 /dev/disk/by-id/${byId('lvm')}
    lvcreate -q -y -L 200M -n data vg0 && mkfs.ext4 -q /dev/vg0/data
    mkfs.xfs -q /dev/disk/by-id/${byId('retention')}
    uuid=$(blkid -o value -s UUID /dev/disk/by-id/${byId('retention')})
    echo "UUID=$uuid /retention xfs defaults 0 0" >> /etc/fstab
    systemctl daemon-reload && mount /retention
  `);
  t.equal((await machine.ok('findmnt -no FSTYPE /retention')).trim(), 'xfs');
}

/** Brings a release there; what is tested is what an administrator types then. */
export async function unpack(machine: Machine, version: string): Promise<void> {
  const file = `/packages/${version}/homeward-${version}-linux-x64.tar.gz`;
  await machine.ok(`mountpoint -q /packages || mount -o ro LABEL=packages /packages`);
  await machine.ok(`cd /root && tar -xzf ${file}`, 5 * minutes);
}

/** For the flag of that name. */
export async function givePassphrase({ machine, server }: Scene): Promise<void> {
  await machine.ok(`(umask 077; printf '%s\\n' '${server.passphrase}' > /root/passphrase)`);
}
