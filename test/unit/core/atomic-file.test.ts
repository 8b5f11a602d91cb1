// Checks that files are replaced whole and that every change to a sealed one is found.
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { readSealedJson, writeAtomicFile, writeSealedJson } from '../../../core/atomic-file.ts';
import { temporaryDirectory } from '../../support/temporary.ts';

t.test('a file is written, replaced, and leaves nothing beside it', (t) => {
  const directory = temporaryDirectory(t);
  const file = path.join(directory, 'file');
  writeAtomicFile(file, 'old and longer');
  writeAtomicFile(file, Buffer.from('new'));
  t.equal(fs.readFileSync(file, 'utf8'), 'new');
  t.same(fs.readdirSync(directory), ['file']);
  t.throws(() => writeAtomicFile(directory, 'x'), { code: 'EISDIR' });
  t.same(fs.readdirSync(directory), ['file']);
  t.end();
});

t.test('a temporary file that a crash left behind is written over', (t) => {
  const file = path.join(temporaryDirectory(t), 'file');
  fs.writeFileSync(file + '.new', 'half of something that was longer');
  writeAtomicFile(file, 'whole');
  t.equal(fs.readFileSync(file, 'utf8'), 'whole');
  t.notOk(fs.existsSync(file + '.new'));
  t.end();
});

t.test('a secret is for its owner only, whatever lay in the place of its temporary file', (t) => {
  const directory = temporaryDirectory(t);
  const [file, elsewhere] = [path.join(directory, 'file'), path.join(directory, 'elsewhere')];
  fs.writeFileSync(file + '.new', 'half', { mode: 0o666 });
  fs.chmodSync(file + '.new', 0o666);
  writeAtomicFile(file, 'secret', 0o600);
  t.equal((fs.statSync(file).mode & 0o777).toString(8), '600');
  fs.writeFileSync(elsewhere, 'of another');
  fs.symlinkSync(elsewhere, file + '.new');
  writeAtomicFile(file, 'newer', 0o600);
  t.equal(fs.readFileSync(elsewhere, 'utf8'), 'of another');
  t.notOk(fs.lstatSync(file).isSymbolicLink());
  t.end();
});

t.test('a sealed body comes back as it was, and a missing file as null', (t) => {
  const file = path.join(temporaryDirectory(t), 'file');
  t.equal(readSealedJson(file, 'homeward-test'), null);
  const body = { text: 'ä "quoted"', list: [1, 2.5, null, true], nested: { empty: {} } };
  writeSealedJson(file, 'homeward-test', body);
  t.same(readSealedJson(file, 'homeward-test'), body);
  fs.writeFileSync(file, JSON.stringify(JSON.parse(fs.readFileSync(file, 'utf8'))));
  t.same(readSealedJson(file, 'homeward-test'), body, 'other white space is the same file');
  t.end();
});

t.test('a sealed file of another format or version is refused by name', (t) => {
  const file = path.join(temporaryDirectory(t), 'file');
  writeSealedJson(file, 'homeward-other', {});
  const message = /is a "homeward-other", not/;
  t.throws(() => readSealedJson(file, 'homeward-test'), { code: 'damaged', message });
  fs.writeFileSync(file, '{"format":"homeward-test","version":2}');
  t.throws(() => readSealedJson(file, 'homeward-test'), { code: 'damaged', message: /has version 2/ });
  for (const text of ['', '[', '7', 'null', '[]', '{}']) {
    fs.writeFileSync(file, text);
    t.throws(() => readSealedJson(file, 'homeward-test'), { code: 'damaged' }, JSON.stringify(text));
  }
  t.end();
});

t.test('every flipped bit of a sealed file is found, or changes nothing but white space', (t) => {
  const file = path.join(temporaryDirectory(t), 'file');
  const body = { id: 'abc', created: '2026-01-31T14:05:00Z', size: 1048576, none: null };
  writeSealedJson(file, 'homeward-test', body);
  const written = fs.readFileSync(file);
  let found = 0;
  for (let bit = 0; bit < written.length * 8; bit += 1) {
    const flipped = Buffer.from(written);
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    fs.writeFileSync(file, flipped);
    try {
      t.same(readSealedJson(file, 'homeward-test'), body, `bit ${bit}`);
    } catch (error) {
      t.match(error, { code: 'damaged' });
      found += 1;
    }
  }
  t.ok(found > written.length * 6);
  t.end();
});
