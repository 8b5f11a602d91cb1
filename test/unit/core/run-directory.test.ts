// The directory of sockets is made where it is missing, and no other.
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { ensureRunDirectory, groupId } from '../../../core/run-directory.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

t.test('it is made for a socket in it, for root and its group', (t) => {
  const run = path.join(temporaryDirectory(t), 'homeward');
  const own = process.getegid?.() ?? 0;
  ensureRunDirectory(path.join(run, 'deeper/web.sock'), run, '');
  t.notOk(fs.existsSync(run), 'what lies elsewhere is not ours to make');
  ensureRunDirectory(path.join(run, 'web.sock'), run, `root:x:0:\nhomeward:x:${own}:\n`);
  const made = fs.statSync(run);
  t.same([made.mode & 0o777, made.gid], [0o750, own]);
  ensureRunDirectory(path.join(run, 'web.sock'), run, '');
  t.end();
});

t.test('where it cannot be made, whoever listens there says why', (t) => {
  const run = path.join(temporaryDirectory(t), 'no/homeward');
  ensureRunDirectory(path.join(run, 'web.sock'), run, '');
  t.notOk(fs.existsSync(run));
  t.equal(groupId('wheel:x:10:me\n', 'homeward'), null);
  t.end();
});
