// What a mount of ours has left is told from what others have below the same directory.
import t from 'tap';
import { parsePlaced } from '../../../cli/mount/guard.ts';
import { lineToTakeAway } from '../../../cli/mount/left-behind.ts';

const image = { target: '/tmp/homeward-a1B2c3/data', source: '/dev/fuse', fstype: 'fuse' };
const shown = { target: '/mnt/it is/data', source: '/dev/loop7', fstype: 'ext4' };
const backing = (device: string): string | null => (device === '/dev/loop7' ? image.target : null);

t.test('file systems, images and directories go in that order', async (t) => {
  const line = lineToTakeAway({ directory: '/mnt/it is', names: ['data'] }, [image, shown], backing);
  t.equal(
    line,
    "umount '/mnt/it is/data'; fusermount3 -u /tmp/homeward-a1B2c3/data; " +
      "rm -d '/mnt/it is/data' /tmp/homeward-a1B2c3/data /tmp/homeward-a1B2c3",
  );
});

t.test('without root the images lie in the directory alone', async (t) => {
  const file = { ...image, target: '/mnt/x/data' };
  const alone = lineToTakeAway({ directory: '/mnt/x', names: ['data'] }, [file], () => null);
  t.equal(alone, 'fusermount3 -u /mnt/x/data; rm -d /mnt/x/data');
  t.equal(
    lineToTakeAway({ directory: '/mnt/x', names: ['data', 'mine'] }, [file], () => null),
    null,
  );
  t.equal(lineToTakeAway({ directory: '/mnt/x', names: ['data'] }, [shown], backing), null);
});

t.test('a guard takes away what it was told of, and nothing once all is gone', async (t) => {
  const placed = [
    { kind: 'directory', at: '/mnt/x' },
    { kind: 'mount', at: '/mnt/x/data' },
  ];
  const told = placed.map((each) => `${JSON.stringify(each)}\n`).join('');
  t.same(parsePlaced(told), placed);
  t.same(parsePlaced(`${told}{"kind":"mou`), placed, 'a line that was cut');
  t.same(parsePlaced(`${told}"all gone"\n`), []);
});
