// Disks that come and go while a master target runs: said once each, with the machine that misses one.
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { compareDisks, DiskWatch } from '../../agent/registration/disk-watch.ts';
import { createLog } from '../../core/log.ts';
import type { HostDisk } from '../../core/registration/messages.ts';
import { until } from '../support/homeward.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const disk = (name: string, wwid = `naa.${name}`): HostDisk => ({
  name,
  size: 2 ** 30,
  path: `/dev/${name}`,
  wwid,
  byId: `wwn-0x${name}`,
});

for (const isThere of [true, false]) {
  t.test(`disks are noticed where the directory of links is ${isThere ? '' : 'not '}there`, async (t) => {
    const directory = path.join(temporaryDirectory(t), 'disk', 'by-id');
    if (isThere) fs.mkdirSync(directory, { recursive: true });
    const lines: string[] = [];
    let disks = [disk('sda'), disk('sdb')];
    const links = new Map([['/dev/disk/by-id/wwn-0xsdb', '/dev/sdb']]);
    const changes: number[] = [];
    const watch = new DiskWatch({
      log: createLog('info', (line) => lines.push(line)),
      replicas: () => [{ machine: 'web', disk: 'root', path: '/dev/disk/by-id/wwn-0xsdb' }],
      realPath: (file) => links.get(file) ?? null,
      changed: (now) => changes.push(now.length),
      directories: [directory],
      readDisks: () => disks,
    });
    t.teardown(() => watch.stop());
    await watch.ready();

    disks = [...disks, disk('sdc')];
    fs.mkdirSync(directory, { recursive: true });
    fs.symlinkSync('../../sdc', path.join(directory, 'wwn-0xsdc'));
    await until('the new disk to be said', () => lines.length === 1);
    t.match(
      lines[0],
      /level=info event=disk-added path=\/dev\/sdc size="1 GiB" wwid=naa\.sdc name=wwn-0xsdc/,
    );
    t.equal(watch.disks.length, 3);

    disks = [disk('sda'), disk('sdc')];
    links.clear();
    fs.unlinkSync(path.join(directory, 'wwn-0xsdc'));
    await until('the missing disk to be said', () => lines.length === 2);
    t.match(lines[1], /level=error event=disk-removed path=\/dev\/sdb .*machine=web replica=root hint=/);

    disks = [disk('sda')];
    fs.symlinkSync('../../sda', path.join(directory, 'wwn-0xsda'));
    await until('the other to be said', () => lines.length === 3);
    t.match(lines[2], /level=info event=disk-removed path=\/dev\/sdc/, 'which nobody misses');
    t.same(changes, [3, 2, 1]);
  });
}

t.test('another disk under the same name is one removed and one added', async (t) => {
  const { added, removed } = compareDisks([disk('sda'), disk('sdb')], [disk('sda'), disk('sdb', 'naa.new')]);
  t.match(added, [{ path: '/dev/sdb', wwid: 'naa.new' }]);
  t.match(removed, [{ path: '/dev/sdb', wwid: 'naa.sdb' }]);
});
