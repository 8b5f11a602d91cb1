// NTFS under a workload of files: at any moment of the window and at kept points it mounts read-only, and all
// that was flushed by then is there.
import t from 'tap';
import { FileLoad } from '../support/file-load.ts';
import { momentCount, MomentSite } from '../support/moments.ts';
import { makeNtfs, mountNtfs, ntfsMissing, syncDevice } from '../support/ntfs.ts';
import { chooseSeed, seededRandom } from '../support/random.ts';

const moments = momentCount(10);
t.setTimeout(240_000 + moments * 20_000);

t.test('NTFS mounts and has every flushed file at random moments', { skip: ntfsMissing }, async (t) => {
  const random = seededRandom(chooseSeed(t));
  const site = await MomentSite.start(t, { size: '128M', window: '40M' });
  await makeNtfs(site.device);
  const root = site.target.inDirectory('disk');
  await mountNtfs(t, site.device, root, 'rw');
  const syncAll = (): Promise<void> => syncDevice(site.device);
  // ntfs-3g writes no journal: between two flushes its pages reach the disk in any order.
  const load = await FileLoad.prepare({ root, random, head: site.head, syncAll, journaled: false });
  await site.look(t, {
    random,
    first: await site.head(),
    moments,
    load,
    operationsPerMoment: 25,
    writable: false,
    async check(t, { lsn, directory, device }) {
      const unmount = await mountNtfs(t, device, `${directory}/disk`, 'ro');
      const { checked, wrong } = load.truth.compare(`${directory}/disk`, lsn);
      t.same(wrong, [], `lsn:${lsn}: ${checked} files are as they were flushed`);
      await unmount();
    },
  });
});
