// The hash file: what is damaged, torn, foreign or half done is unknown, never taken for known.
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { hashBytes } from '../../../../core/chain/messages.ts';
import { hostFiles } from '../../../../core/files/host-files.ts';
import type { Files } from '../../../../core/files/files.ts';
import { silentLog } from '../../../../core/log.ts';
import { HashFile } from '../../../../mobility/scan/hash-file.ts';
import {
  headerBytes,
  isUnknown,
  pageBytes,
  pageChunks,
  pageDiskBytes,
  pagePosition,
} from '../../../../mobility/scan/hash-pages.ts';
import { temporaryDirectory } from '../../../support/temporary.ts';

const size = 3 * pageDiskBytes - 512;
const allKnown = (byte: number): Buffer => Buffer.alloc(pageChunks * hashBytes, byte);

interface Place {
  file: string;
  open(change?: { disk?: string; machine?: number; size?: number; files?: Files }): Promise<HashFile>;
}

function place(t: Test): Place {
  const file = path.join(temporaryDirectory(t), 'root.hashes');
  return {
    file,
    open: async ({ disk = 'root', machine = 7, size: bytes = size, files = hostFiles } = {}) => {
      const identity = { machine: Buffer.alloc(16, machine), disk };
      const hashes = await HashFile.open({ path: file, identity, size: bytes, files, log: silentLog });
      t.teardown(() => hashes.close());
      return hashes;
    },
  };
}

async function committed(hashes: HashFile): Promise<void> {
  for (let page = 0; page < 3; page += 1) hashes.stage(page, allKnown(page + 1));
  await hashes.commit(1234);
}

t.test('what is committed comes back; what is only put aside does not', async (t) => {
  const { open, file } = place(t);
  const first = await open();
  t.notOk(await first.isWhole());
  await committed(first);
  t.ok(await first.isWhole());
  first.stage(1, allKnown(9));
  first.close();
  t.notOk(fs.existsSync(`${file}.new`));
  const second = await open();
  t.equal(second.scannedTime, 1234);
  t.ok((await second.page(1)).equals(allKnown(2)));
  t.equal(fs.statSync(file).size, headerBytes + 3 * pageBytes);
});

t.test('what is forgotten stays so, whatever was put aside', async (t) => {
  const { open } = place(t);
  const first = await open();
  await committed(first);
  const page = await first.page(1);
  page.fill(0, 0, hashBytes);
  first.forget(1, page);
  await first.settle();
  first.stage(1, allKnown(9));
  first.unstage();
  first.close();
  const second = await open();
  const found = await second.page(1);
  t.ok(isUnknown(found, 0));
  t.notOk(isUnknown(found, 1));
  t.notOk(await second.isWhole());
});

t.test('a damaged page is unknown, and no other', async (t) => {
  const { open, file } = place(t);
  const first = await open();
  await committed(first);
  first.close();
  const fd = fs.openSync(file, 'r+');
  fs.writeSync(fd, 'x', pagePosition(1) + 500);
  fs.closeSync(fd);
  const second = await open();
  t.ok((await second.page(0)).equals(allKnown(1)));
  t.ok((await second.page(1)).equals(allKnown(0)));
  t.ok((await second.page(2)).equals(allKnown(3)));
});

t.test('a file of another disk or machine, or with a damaged header, counts for nothing', async (t) => {
  for (const change of [{ disk: 'data' }, { machine: 8 }, 'damage'] as const) {
    const { open, file } = place(t);
    const first = await open();
    await committed(first);
    first.close();
    if (change === 'damage') fs.writeFileSync(file, 'HWSCAN01', { flag: 'r+' });
    if (change === 'damage') fs.truncateSync(file, 100);
    const second = await open(change === 'damage' ? {} : change);
    t.ok((await second.page(0)).equals(allKnown(0)));
    t.equal(second.scannedTime, null);
  }
});

t.test('a disk that grows keeps what is known of it', async (t) => {
  const { open } = place(t);
  const first = await open();
  await committed(first);
  first.grow(size + pageDiskBytes);
  await first.settle();
  first.close();
  const second = await open({ size: size + pageDiskBytes });
  t.equal(second.size, size + pageDiskBytes);
  t.ok((await second.page(2)).equals(allKnown(3)));
  t.notOk(await second.isWhole());
});

t.test('after a sync that failed a new file takes its place', async (t) => {
  const { open } = place(t);
  let fails = false;
  const files: Files = {
    ...hostFiles,
    sync: (fd) => (fails ? Promise.reject(new Error('EIO')) : hostFiles.sync(fd)),
  };
  const hashes = await open({ files });
  await committed(hashes);
  fails = true;
  await t.rejects(hashes.settle(), /EIO/);
  await t.rejects(hashes.mend(), /EIO/, 'and not before that is possible');
  fails = false;
  await hashes.mend();
  t.ok((await hashes.page(0)).equals(allKnown(0)), 'in which nothing is known');
});
