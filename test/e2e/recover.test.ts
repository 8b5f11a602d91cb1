// Recovery into files and onto devices: right to the byte, refused where it would do harm.
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import type { RecoverPlan, RecoverReport } from '../../agent/control/client.ts';
import { MiB } from '../../core/units.ts';
import { MasterTarget, run, runOk, until } from '../support/homeward.ts';
import { loopDevice, loopDeviceMissing } from '../support/loop-device.ts';
import { unmount } from '../support/mounted-disk.ts';
import { skipUnless } from '../support/needs.ts';
import { Oracle } from '../support/oracle.ts';
import { OracleWriter, readExport } from '../support/oracle-writer.ts';
import { chooseSeed, seededRandom } from '../support/random.ts';

const size = 16 * MiB;
const noLoop =
  skipUnless({ root: true, commands: ['losetup', 'mkfs.ext4'] }) || (loopDeviceMissing() ?? false);

t.setTimeout(240_000);

interface Box {
  target: MasterTarget;
  oracle: Oracle;
  lsn: number;
  directory: string;
}

/** A machine with a disk of 16 MiB, and an LSN in the middle of what was written to it. */
async function startBox(t: Test): Promise<Box> {
  const random = seededRandom(chooseSeed(t));
  const target = await MasterTarget.start(t);
  const oracle = new Oracle(0, size);
  const writer = await OracleWriter.connect(await target.ingest('box', [`disk=${size}`]), 'disk', {
    oracle,
    random,
  });
  await writer.writeMore(200);
  return { target, oracle, lsn: 50 + random.below(100), directory: target.inDirectory('recovered') };
}

t.test(
  'raw, qcow2 and vmdk hold the same, which is the moment',
  { skip: skipUnless({ commands: ['qemu-img'] }) },
  async (t) => {
    const { target, oracle, lsn, directory } = await startBox(t);
    for (const format of ['raw', 'qcow2', 'vmdk']) {
      const { result } = await target.ask<{ result: RecoverReport }>(
        'recover',
        'box',
        '--at',
        `lsn:${lsn}`,
        '--to',
        `${format}:${directory}`,
      );
      t.match(result, { lsn, disks: [{ name: 'disk', to: `${directory}/disk.${format}` }] });
    }
    t.same(
      fs.readdirSync(directory).toSorted(),
      ['disk.qcow2', 'disk.raw', 'disk.vmdk'],
      'and nothing else is left there',
    );
    t.same(oracle.compare(fs.readFileSync(`${directory}/disk.raw`), lsn), []);
    for (const format of ['qcow2', 'vmdk']) {
      const args = [
        'compare',
        '-f',
        'raw',
        '-F',
        format,
        `${directory}/disk.raw`,
        `${directory}/disk.${format}`,
      ];
      t.match(await runOk('qemu-img', args), 'identical', `${format} is the same`);
    }
    t.match(await runOk('qemu-img', ['info', `${directory}/disk.vmdk`]), 'streamOptimized');
    t.same(await target.client.listViews(), [], 'no view is left open');
  },
);

t.test('what exists is never written over, and --plan writes nothing', async (t) => {
  const { target, lsn, directory } = await startBox(t);
  const args = ['recover', 'box', '--at', `lsn:${lsn}`, '--to', `raw:${directory}`];
  const plan = await target.ask<RecoverPlan>(...args, '--plan');
  t.match(plan, { lsn, disks: [{ to: `${directory}/disk.raw`, size, freeBytes: Number }] });
  const { dataBytes = 0 } = plan.disks[0] ?? {};
  t.ok(dataBytes > 0 && dataBytes <= size, 'it counts the data');
  t.notOk(fs.existsSync(directory), 'the plan wrote nothing');
  fs.mkdirSync(directory);
  fs.writeFileSync(`${directory}/disk.raw`, 'precious');
  const refused = await target.refused(...args);
  t.match(refused, { status: 5, code: 'exists', message: `${directory}/disk.raw` });
  t.equal(fs.readFileSync(`${directory}/disk.raw`, 'utf8'), 'precious');
});

t.test(
  'a device that is too small, mounted or carries something is refused before the first write',
  { skip: noLoop },
  async (t) => {
    const { target, oracle, lsn } = await startBox(t);
    const recover = (device: string, ...more: string[]): string[] => [
      'recover',
      'box',
      '--at',
      `lsn:${lsn}`,
      '--to',
      `block:disk=${device}`,
      ...more,
    ];
    const small = loopDevice(t, size - MiB);
    t.match(await target.refused(...recover(small, '--yes')), { status: 6, code: 'target-too-small' });
    t.match(await target.refused(...recover(target.inDirectory('none'), '--yes')), {
      status: 6,
      code: 'target-missing',
    });

    const device = loopDevice(t, size + MiB);
    await runOk('mkfs.ext4', ['-q', device]);
    const before = fs.readFileSync(device);
    const mount = target.inDirectory('mounted');
    fs.mkdirSync(mount);
    await runOk('mount', ['-o', 'ro,noload', device, mount]);
    t.teardown(() => run('umount', [mount]));
    t.match(await target.refused(...recover(device, '--yes')), { status: 6, code: 'target-mounted' });
    await unmount(device, mount);

    const signed = await target.refused(...recover(device, '--yes'));
    t.match(signed, { status: 6, code: 'target-signature', message: /carries ext4; its WWID is \S+$/ });
    const wwid = /WWID is (\S+)$/.exec(signed.message)?.[1] ?? '';
    t.match(
      await target.refused(...recover(device, '--yes', '--overwrite-disk', `${wwid}x`)),
      { status: 6 },
      'another WWID does not do',
    );
    t.match(await target.refused(...recover(device, '--overwrite-disk', wwid)), {
      status: 6,
      code: 'needs-yes',
    });
    t.ok(fs.readFileSync(device).equals(before), 'nothing was written yet');

    await target.ask(...recover(device, '--yes', '--overwrite-disk', wwid));
    t.same(
      oracle.compare(fs.readFileSync(device).subarray(0, size), lsn),
      [],
      'then the device is the moment',
    );
  },
);

t.test(
  'a replica may lie on a device by its stable name; apply writes it, and nobody else may',
  { skip: noLoop },
  async (t) => {
    const random = seededRandom(chooseSeed(t));
    const device = loopDevice(t, size + MiB);
    const byId = path.join('/dev/disk/by-id', `homeward-test-${process.pid}`);
    fs.mkdirSync(path.dirname(byId), { recursive: true });
    fs.symlinkSync(device, byId);
    t.teardown(() => fs.unlinkSync(byId));
    const target = await MasterTarget.start(t, { SegmentBytes: '1M', WindowMaxBytes: '3M' });
    const name = path.basename(byId);
    const open = [
      'ingest',
      'open',
      'box',
      '--disk',
      `disk=${size}@${name}`,
      '--listen',
      `unix:${target.inDirectory('box.sock')}`,
    ];

    await runOk('mkfs.ext4', ['-q', device]);
    t.match(await target.refused(...open), { status: 6, code: 'target-signature' });
    await runOk('wipefs', ['-a', device]);
    await target.ask(...open);
    t.match(await target.status('box'), { disks: [{ replica: byId }] });
    t.not((await run('mkfs.ext4', ['-q', device])).status, 0, 'the device is claimed');

    const oracle = new Oracle(0, size);
    const writer = await OracleWriter.connect(target.inDirectory('box.sock'), 'disk', {
      oracle,
      random,
      flush: 0.3,
    });
    await writer.write(() => target.logged('redo-pruned') >= 3);
    await writer.close();
    t.equal(await target.stop(), 0);
    await target.restart();
    const view = await target.view('box', 'latest');
    t.same(
      oracle.compare(await readExport(view.socket, 'disk', size), view.lsn),
      [],
      'views read through to the device',
    );
    await target.closeView(view.id);
    await until('apply to stand still', async () => {
      const { redoBytes, appliedLsn, oldestLsn } = await target.status('box');
      return redoBytes <= 4 * MiB && appliedLsn === oldestLsn;
    });
    await target.stop();
    await target.restart();
    const { appliedLsn } = await target.status('box');
    const image = fs.readFileSync(device).subarray(0, size);
    t.same(oracle.compare(image, appliedLsn), [], 'and the device itself is the state at the cursor');
  },
);
