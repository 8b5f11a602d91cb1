// Checks that directories are made level by level, and that what stands in the way is named.
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { ensureDirectorySync } from '../../../core/directory.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

t.test('it makes what is missing, and says which came first', async (t) => {
  const top = temporaryDirectory(t);
  const deep = path.join(top, 'a', 'b', 'c');
  t.equal(ensureDirectorySync(deep, 0o700), path.join(top, 'a'));
  t.equal(fs.statSync(deep).mode & 0o777, 0o700);
  t.equal(ensureDirectorySync(deep), null, 'nothing was missing');
});

t.test('a file in its place, or above it, is no directory', async (t) => {
  const file = path.join(temporaryDirectory(t), 'file');
  fs.writeFileSync(file, 'mine');
  t.throws(() => ensureDirectorySync(file), { code: 'ENOTDIR' });
  t.throws(() => ensureDirectorySync(path.join(file, 'below')), { code: 'ENOTDIR' });
  t.equal(fs.readFileSync(file, 'utf8'), 'mine');
});
