// Checks the proofs of the enrolment against values made by hand, and that nothing in them can be moved
// about.
import { createHash, createHmac, scryptSync } from 'node:crypto';
import t from 'tap';
import {
  clientProof,
  createPassphrase,
  deriveKey,
  passphraseAlphabet,
  proofFits,
  serverProof,
  transcript,
  type Enrolment,
} from '../../../../core/identity/enrolment-proof.ts';
import { isNewerVersion } from '../../../../core/identity/version-order.ts';

const enrolment: Enrolment = {
  clientNonce: Buffer.alloc(32, 1),
  serverNonce: Buffer.alloc(32, 2),
  serverCertificate: Buffer.from('server certificate'),
  request: Buffer.from('request'),
  hostId: '8d2f7c1e-2b6a-4f0e-9a53-0c6f5a1b7d11',
  role: 'mobility',
  name: 'bücher',
  authority: Buffer.from('authority'),
};

t.test('a passphrase has 24 characters that nobody mistakes for others', async (t) => {
  t.equal(new Set(passphraseAlphabet).size, 57);
  t.notMatch(passphraseAlphabet, /[0O1Il]/);
  const made = Array.from({ length: 200 }, createPassphrase);
  for (const each of made) t.equal(each.length, 24);
  t.equal(new Set(made).size, 200);
  t.equal(new Set(made.join('')).size, 57, 'every character occurs');
});

t.test('key and proofs are as docs/chain.md says', async (t) => {
  const salt = Buffer.alloc(16, 7);
  const key = await deriveKey('passphrase', salt);
  const maxmem = 2 ** 26;
  t.same(key, scryptSync('passphrase', salt, 32, { N: 2 ** 15, r: 8, p: 1, maxmem }));
  const parts = Object.values(enrolment).map((part: string | Buffer) => Buffer.from(part as string));
  const bytes = parts.flatMap((part) => [Buffer.from(Uint32Array.of(part.length).buffer), part]);
  const seen = transcript(enrolment);
  t.same(seen, createHash('sha256').update(Buffer.concat(bytes)).digest());
  const hmac = (...said: (string | Buffer)[]): Buffer =>
    createHmac('sha256', key)
      .update(Buffer.concat(said.map((each) => Buffer.from(each as string))))
      .digest();
  t.same(clientProof(key, seen), hmac('homeward enrolment client 1', seen));
  const certificate = Buffer.from('certificate');
  const digest = createHash('sha256').update(certificate).digest();
  t.same(serverProof(key, seen, certificate), hmac('homeward enrolment server 1', seen, digest));
});

t.test('every part counts, and so does where one ends and the next begins', async (t) => {
  const seen = transcript(enrolment).toString('hex');
  const names = Object.keys(enrolment) as (keyof Enrolment)[];
  for (const name of names) {
    const value = enrolment[name];
    const other = typeof value === 'string' ? `${value}x` : Buffer.concat([value, Buffer.of(0)]);
    t.not(transcript({ ...enrolment, [name]: other }).toString('hex'), seen, name);
  }
  const moved = { ...enrolment, role: 'mobilityb', name: 'ücher' };
  t.not(transcript(moved).toString('hex'), seen);
});

t.test('a proof of one side is none of the other, and fits only whole', async (t) => {
  const key = await deriveKey(createPassphrase(), Buffer.alloc(16));
  const seen = transcript(enrolment);
  const proof = clientProof(key, seen);
  t.ok(proofFits(proof, clientProof(key, seen)));
  t.notOk(proofFits(proof, serverProof(key, seen, Buffer.alloc(0))));
  t.notOk(proofFits(proof.subarray(0, 31), proof));
  t.notOk(proofFits(Buffer.alloc(0), proof));
});

t.test('versions are compared number by number', async (t) => {
  const newer: [string, string][] = [
    ['1.0.0', '0.9.9'],
    ['0.10.0', '0.9.0'],
    ['0.1.1', '0.1.0'],
    ['1', '0.9'],
  ];
  for (const [one, other] of newer) {
    t.ok(isNewerVersion(one, other), `${one} is newer than ${other}`);
    t.notOk(isNewerVersion(other, one));
  }
  t.notOk(isNewerVersion('1.2.3', '1.2.3'));
  t.notOk(isNewerVersion('1.2.3-rc.1', '1.2.3'));
});
