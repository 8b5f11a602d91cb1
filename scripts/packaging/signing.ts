// SHA256SUMS and its Ed25519 signature, in the forms that sha256sum and openssl check.
import crypto from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';

export interface SigningKey {
  key: crypto.KeyObject;
  /** Whether somebody keeps it, and its public half says who built this. */
  lasting: boolean;
}

const sumsName = 'SHA256SUMS';
const signatureName = 'SHA256SUMS.sig';
export const publicName = 'signing-key.pub';

/** A PEM file with an Ed25519 private key. */
export function readSigningKey(file: string): SigningKey {
  const key = crypto.createPrivateKey(fs.readFileSync(file));
  if (key.asymmetricKeyType !== 'ed25519') throw new Error(`${file} holds no Ed25519 key`);
  return { key, lasting: true };
}

/**
 * Without a key that somebody keeps, one that belongs to this content alone: whoever has the content can make
 * it, so it proves no more than the checksums do, and the same tree still gives the same bytes.
 */
function keyOfContent(sums: string): SigningKey {
  const seed = crypto.createHash('sha256').update('homeward: a key for one build\n').update(sums).digest();
  // PKCS #8 of RFC 8410, section 7: fixed bytes, then the seed.
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]);
  return { key: crypto.createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }), lasting: false };
}

/** Writes the sums of `files` (paths below `directory`), the signature and the public key beside them. */
export function writeSignedSums(directory: string, files: readonly string[], key: SigningKey | null): void {
  const sums = files.map((file) => `${sha256(path.join(directory, file))}  ${file}\n`).join('');
  const signing = key ?? keyOfContent(sums);
  fs.writeFileSync(path.join(directory, sumsName), sums);
  fs.writeFileSync(path.join(directory, signatureName), crypto.sign(null, Buffer.from(sums), signing.key));
  const pem = crypto.createPublicKey(signing.key).export({ type: 'spki', format: 'pem' });
  fs.writeFileSync(path.join(directory, publicName), pem);
}

export function sha256(file: string): string {
  return crypto.hash('sha256', fs.readFileSync(file));
}
