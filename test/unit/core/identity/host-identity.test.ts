// Checks the files of DATA/identity: who may read them, and that a host has enrolled wholly or not at all.
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import {
  dueForRenewal,
  ensureHostId,
  ensureKey,
  isInForce,
  readIdentity,
  replaceCertificate,
  writeIdentity,
} from '../../../../core/identity/host-identity.ts';
import { identitySite } from '../../../support/identity-site.ts';
import { temporaryDirectory } from '../../../support/temporary.ts';

const dayMs = 24 * 60 * 60 * 1000;

t.test('the host id is made once, and belongs to one role', async (t) => {
  const data = path.join(temporaryDirectory(t), 'data');
  const first = ensureHostId(data, 'mobility', 'db1');
  t.match(first.hostId, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  t.same(ensureHostId(data, 'mobility', 'db2'), { ...first, name: 'db2' }, 'a name may change');
  t.throws(() => ensureHostId(data, 'process-server', 'db1'), { code: 'conflict' });
  const file = path.join(data, 'identity', 'host.json');
  fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace('db2', 'db3'));
  t.throws(() => ensureHostId(data, 'mobility', 'db1'), { code: 'damaged' });
});

t.test('nobody but the owner can read the key, whatever the umask', async (t) => {
  const data = temporaryDirectory(t);
  fs.mkdirSync(path.join(data, 'identity'), { mode: 0o755 });
  const umask = process.umask(0);
  t.teardown(() => process.umask(umask));
  const key = ensureKey(data);
  t.equal(ensureKey(data), key);
  const modeOf = (...names: string[]): number => fs.statSync(path.join(data, ...names)).mode & 0o777;
  t.equal(modeOf('identity'), 0o700);
  t.equal(modeOf('identity', 'key.pem'), 0o600);
});

t.test('a host has enrolled when its certificate is there, and all that goes with it', async (t) => {
  const data = temporaryDirectory(t);
  const at = (name: string): string => path.join(data, 'identity', name);
  t.equal(readIdentity(data), null);
  const identity = await (await identitySite()).host('mobility');
  ensureHostId(data, 'mobility', 'db1');
  t.equal(readIdentity(data), null);
  writeIdentity(data, identity);
  t.same(readIdentity(data), identity);
  fs.rmSync(at('ca.pem'));
  t.throws(() => readIdentity(data), { code: 'damaged' });
  fs.rmSync(at('cert.pem'));
  t.equal(readIdentity(data), null, 'so it enrols again');
});

t.test('a renewed certificate is in the file and in the identity that is in use', async (t) => {
  const data = temporaryDirectory(t);
  const identity = await (await identitySite()).host('mobility');
  writeIdentity(data, identity);
  replaceCertificate(data, identity, 'renewed');
  t.equal(identity.certificate, 'renewed');
  t.equal(readIdentity(data)?.certificate, 'renewed');
});

t.test('a certificate is due for renewal when less than a third of its life is left', async (t) => {
  const nowMs = Date.now();
  const { certificate } = await (await identitySite()).host('mobility', nowMs);
  t.notOk(dueForRenewal(certificate, nowMs));
  t.notOk(dueForRenewal(certificate, nowMs + 264 * dayMs));
  t.ok(dueForRenewal(certificate, nowMs + 265 * dayMs));
  t.ok(isInForce(certificate, nowMs + 396 * dayMs));
  t.notOk(isInForce(certificate, nowMs + 398 * dayMs));
  t.notOk(isInForce(certificate, nowMs - 2 * dayMs));
});
