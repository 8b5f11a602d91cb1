// Checks signatures and epochs of assignments, and that the book remembers what it took.
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import {
  openAssignmentBook,
  signAssignment,
  verifyAssignment,
  type Assignment,
} from '../../../../core/identity/assignment.ts';
import { createAuthority } from '../../../../core/identity/authority.ts';
import { temporaryDirectory } from '../../../support/temporary.ts';

const assignment = (more: Partial<Assignment> = {}): Assignment => ({
  machine: '8d2f7c1e-2b6a-4f0e-9a53-0c6f5a1b7d11',
  name: 'db1',
  epoch: 3,
  source: crypto.randomUUID(),
  masterTarget: crypto.randomUUID(),
  processServer: { hostId: crypto.randomUUID(), addresses: ['10.0.0.7:9443'] },
  disks: [{ name: 'root', size: 1024 * 1024 }],
  seeds: [{ disk: 'root', path: '/seeds/root.raw', format: 'raw' }],
  windowMs: 86_400_000,
  consistencyIntervalMs: 300_000,
  ended: false,
  ...more,
});

t.test('what the authority signed is known again, and nothing else', async (t) => {
  const authority = await createAuthority();
  const other = await createAuthority();
  const given = assignment();
  const signed = signAssignment(authority, given);
  t.same(verifyAssignment(authority.certificate, signed), given);
  t.equal(Buffer.from(signed.signature, 'base64url').length, 64);
  const refused = { code: 'not-assigned' };
  t.throws(() => verifyAssignment(other.certificate, signed), refused);
  const text = signed.text.replace('"epoch":3', '"epoch":4');
  t.not(text, signed.text);
  t.throws(() => verifyAssignment(authority.certificate, { ...signed, text }), refused);
  for (const signature of ['', 'AAAA', 'A'.repeat(86), signed.signature.slice(0, -2)])
    t.throws(() => verifyAssignment(authority.certificate, { ...signed, signature }), refused);
  const long = 'x'.repeat(70_000);
  t.throws(() => verifyAssignment(authority.certificate, { ...signed, text: long }), refused);
  t.throws(() => signAssignment(authority, assignment({ name: long })), { code: 'usage' });
});

t.test('the book takes newer epochs, also after it was opened again, and refuses older ones', async (t) => {
  const authority = await createAuthority();
  const file = path.join(temporaryDirectory(t), 'assignments.json');
  const book = openAssignmentBook(file, authority.certificate);
  const third = assignment();
  const signed = signAssignment(authority, third);
  t.same(book.accept(signed), { assignment: third, changed: true });
  t.same(book.accept(signed), { assignment: third, changed: false });
  t.same(book.accept(signAssignment(authority, third)), { assignment: third, changed: false }, 'signed anew');
  const fourth = signAssignment(authority, { ...third, epoch: 4, ended: true });
  t.equal(book.accept(fourth).changed, true);

  const again = openAssignmentBook(file, authority.certificate);
  t.same(again.list(), [{ ...third, epoch: 4, ended: true }]);
  t.same(again.signed(third.machine), fourth);
  t.equal(again.get(crypto.randomUUID()), null);
  const before = fs.readFileSync(file);
  const older = signAssignment(authority, { ...third, epoch: 2 });
  const rival = signAssignment(authority, { ...third, epoch: 4 });
  for (const refused of [older, signed, rival])
    t.throws(() => again.accept(refused), { code: 'not-assigned' });
  t.same(fs.readFileSync(file), before);
  t.equal(again.get(third.machine)?.epoch, 4);
});

t.test('what could not be written is not remembered', async (t) => {
  const authority = await createAuthority();
  const directory = path.join(temporaryDirectory(t), 'none');
  const book = openAssignmentBook(path.join(directory, 'assignments.json'), authority.certificate);
  const signed = signAssignment(authority, assignment());
  t.throws(() => book.accept(signed), { code: 'ENOENT' });
  t.same(book.list(), []);
  fs.mkdirSync(directory);
  t.ok(book.accept(signed).changed);
});

t.test('entries of an authority that was there before count for nothing; damage is said', async (t) => {
  const authority = await createAuthority();
  const file = path.join(temporaryDirectory(t), 'assignments.json');
  openAssignmentBook(file, authority.certificate).accept(signAssignment(authority, assignment({ epoch: 9 })));
  const other = await createAuthority();
  const book = openAssignmentBook(file, other.certificate);
  t.same(book.list(), []);
  t.ok(book.accept(signAssignment(other, assignment({ epoch: 1 }))).changed);
  fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace('db1', 'db2'));
  t.throws(() => openAssignmentBook(file, other.certificate), { code: 'damaged' });
});
