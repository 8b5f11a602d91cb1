// The proofs of the enrolment: that both sides know the passphrase, and saw the same certificate
// (docs/chain.md, 1).
import { createHash, createHmac, randomBytes, randomInt, scrypt, timingSafeEqual } from 'node:crypto';
import { limits } from '../limits.ts';

/** Without those that people mistake for each other. */
export const passphraseAlphabet = 'ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789';

/** Never chosen by people: its strength is what an offline guess is up against (docs/threat-model.md). */
export function createPassphrase(): string {
  const letter = (): string => passphraseAlphabet.charAt(randomInt(passphraseAlphabet.length));
  return Array.from({ length: limits.passphraseCharacters }, letter).join('');
}

/** 16 random bytes, made together with the passphrase. */
export const createSalt = (): Buffer => randomBytes(16);

/** 32 random bytes, new for each attempt of each side. */
export const createNonce = (): Buffer => randomBytes(32);

const cost = { N: 2 ** 15, r: 8, p: 1, maxmem: 64 * 1024 * 1024 };

/**
 * The key of the proofs. Takes a tenth of a second and 32 MiB: a server makes it once for each passphrase.
 */
export function deriveKey(passphrase: string, salt: Uint8Array): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(passphrase, salt, 32, cost, (error, key) => (error === null ? resolve(key) : reject(error)));
  });
}

/** Everything that both sides have to have seen alike. Certificates and the request are DER. */
export interface Enrolment {
  clientNonce: Uint8Array;
  serverNonce: Uint8Array;
  /** Of the TLS server: as the client saw it, as the server has it. */
  serverCertificate: Uint8Array;
  request: Uint8Array;
  hostId: string;
  role: string;
  name: string;
  authority: Uint8Array;
}

/** T: each part goes in behind its length, so that no two enrolments have the same. */
export function transcript(enrolment: Enrolment): Buffer {
  const parts = [
    enrolment.clientNonce,
    enrolment.serverNonce,
    enrolment.serverCertificate,
    enrolment.request,
    Buffer.from(enrolment.hostId),
    Buffer.from(enrolment.role),
    Buffer.from(enrolment.name),
    enrolment.authority,
  ];
  const hash = createHash('sha256');
  for (const part of parts) {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(part.length);
    hash.update(length).update(part);
  }
  return hash.digest();
}

/** What a client proves with: the key, and T. */
export function clientProof(key: Uint8Array, seen: Uint8Array): Buffer {
  return createHmac('sha256', key).update('homeward enrolment client 1').update(seen).digest();
}

/** What a server proves with: it also covers the certificate (DER) that it hands out. */
export function serverProof(key: Uint8Array, seen: Uint8Array, certificate: Uint8Array): Buffer {
  const handedOut = createHash('sha256').update(certificate).digest();
  return createHmac('sha256', key)
    .update('homeward enrolment server 1')
    .update(seen)
    .update(handedOut)
    .digest();
}

/** In a time that says nothing about where they differ. */
export function proofFits(given: Uint8Array, expected: Uint8Array): boolean {
  return given.length === expected.length && timingSafeEqual(given, expected);
}
