// ext4 and XFS under a workload of files: at any moment of the window and at kept points the file system is
// sound once its journal is replayed, and all that was flushed by then is there.
import t, { type Test } from 'tap';
import { runOk } from '../support/homeward.ts';
import { FileLoad } from '../support/file-load.ts';
import { loopDeviceMissing } from '../support/loop-device.ts';
import { momentCount, MomentSite } from '../support/moments.ts';
import {
  checkFileSystem,
  makeFileSystem,
  mount,
  mountCommands,
  type FileSystem,
} from '../support/mounted-disk.ts';
import { skipUnless } from '../support/needs.ts';
import { chooseSeed, seededRandom } from '../support/random.ts';

const moments = momentCount(12);
t.setTimeout(240_000 + moments * 20_000);

const missing =
  skipUnless({ root: true, full: true, commands: mountCommands, files: ['/dev/fuse'] }) ||
  (loopDeviceMissing() ?? false);

async function filesRun(t: Test, kind: FileSystem, size: string): Promise<void> {
  const random = seededRandom(chooseSeed(t));
  const site = await MomentSite.start(t, { size, window: '40M' });
  await makeFileSystem(kind, site.device);
  const root = site.target.inDirectory('disk');
  await mount(t, kind, site.device, root);
  const syncAll = async (): Promise<void> => {
    await runOk('sync', ['--file-system', root]);
  };
  const load = await FileLoad.prepare({ root, random, head: site.head, syncAll, journaled: true });
  await site.look(t, {
    random,
    first: await site.head(),
    moments,
    load,
    operationsPerMoment: 25,
    writable: true,
    async check(t, { lsn, directory, device }) {
      const disk = `${directory}/disk`;
      const unmount = await mount(t, kind, device, disk);
      const { checked, wrong } = load.truth.compare(disk, lsn);
      t.same(wrong, [], `lsn:${lsn}: ${checked} files are as they were flushed`);
      await unmount();
      const { status, said } = await checkFileSystem(kind, device);
      t.equal(status, 0, 'the file system is clean after the replay of its journal');
      if (status !== 0) t.comment(said);
    },
  });
}

t.test('ext4 is sound and has every flushed file at random moments', { skip: missing }, async (t) => {
  await filesRun(t, 'ext4', '128M');
});

t.test(
  'XFS is sound and has every flushed file at random moments',
  { skip: missing || skipUnless({ commands: ['mkfs.xfs', 'xfs_repair'] }) },
  async (t) => {
    await filesRun(t, 'xfs', '320M');
  },
);
