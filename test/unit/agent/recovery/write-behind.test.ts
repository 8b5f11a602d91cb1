// Writing out behind a recovery changes nothing of what is written, and leaves nothing open.
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { writtenRanges } from '../../../../agent/recovery/formats/image-plan.ts';
import { WriteBehind } from '../../../../agent/recovery/write-behind.ts';
import { limits } from '../../../../core/limits.ts';
import { KiB, MiB } from '../../../../core/units.ts';
import { temporaryDirectory } from '../../../support/temporary.ts';

t.test('what goes on being written while it is written out is whole', async (t) => {
  const path = join(temporaryDirectory(t), 'file');
  const content = randomBytes(8 * MiB);
  const fd = fs.openSync(path, 'w+');
  const behind = new WriteBehind(fd);
  const isOpen = (): boolean =>
    fs.readdirSync('/proc/self/fd').filter((name) => tryLink(`/proc/self/fd/${name}`) === path).length > 1;
  t.ok(isOpen(), 'through an open file of its own');
  for (let at = 0; at < content.length; at += MiB) {
    fs.writeSync(fd, content, at, MiB, at);
    behind.add([
      [at + 512 * KiB, at + MiB],
      [at, at + 100],
    ]);
    behind.add([]);
  }
  await behind.close();
  await behind.close();
  t.notOk(isOpen(), 'which is closed');
  behind.add([[0, MiB]]);
  t.ok(fs.readFileSync(path).equals(content));
  fs.closeSync(fd);
});

t.test('a file that cannot be opened again is left to the sync', async (t) => {
  const behind = new WriteBehind(-1);
  behind.add([[0, MiB]]);
  await behind.close();
  t.pass();
});

t.test('where a stretch lies in the file is what its format says', async (t) => {
  const stretch = { index: 3, parts: [10, 12, 20, 21], bytesWritten: 0, damaged: [] };
  const bytes = limits.recoveryStretchBytes;
  t.same(writtenRanges('raw', { ...stretch, parts: [] }), [[3 * bytes, 4 * bytes]]);
  t.same(writtenRanges('qcow2', stretch), [
    [10 * 64 * KiB, 12 * 64 * KiB],
    [20 * 64 * KiB, 21 * 64 * KiB],
  ]);
  t.same(writtenRanges('vmdk', { ...stretch, parts: [128, 130] }), [[128 * 512, 130 * 512]]);
  t.same(writtenRanges('vmdk', { ...stretch, parts: [128, 128] }), [], 'nothing was written');
});

function tryLink(path: string): string | null {
  try {
    return fs.readlinkSync(path);
  } catch {
    return null;
  }
}
