// Who asks: an operator by the token, a host by its certificate, which has to be the one it was given last.
import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { TLSSocket } from 'node:tls';
import { HomewardError } from '../../core/errors.ts';
import { peerOf, strangerError } from '../../core/identity/tls.ts';
import type { KnownHost } from '../hosts/host-list.ts';
import type { Registry } from '../registry.ts';

const hash = (data: string | Uint8Array): Buffer => createHash('sha256').update(data).digest();

/** Throws 'not-allowed' unless the token fits; the comparison takes the same time whatever is given. */
export function checkOperator(request: FastifyRequest, token: string): void {
  const given = /^Bearer (\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
  if (given !== undefined && timingSafeEqual(hash(given), hash(token))) return;
  throw new HomewardError(
    'not-allowed',
    given === undefined ? 'this needs the token of an operator' : 'this is not the token of an operator',
  );
}

const askers = new WeakMap<FastifyRequest, KnownHost>();

/** Throws 'not-allowed' for anything but the present certificate of a host that has not been removed. */
export function checkHost(request: FastifyRequest, { hosts }: Registry): void {
  const { socket } = request.raw;
  const peer = peerOf(socket);
  if (peer === null) throw strangerError(socket);
  const host = hosts.get(peer.hostId);
  if (host === null) throw refused(`the host ${peer.hostId} has been removed`, enrolHint);
  if (host.role !== peer.role || keyHashOf(socket) !== host.keyHash) {
    throw refused(`another host has taken the place of this ${peer.role} ${peer.hostId}`, cloneHint);
  }
  askers.set(request, host);
}

/** Only behind `checkHost`. */
export function hostOf(request: FastifyRequest): KnownHost {
  const host = askers.get(request);
  if (host === undefined) throw new HomewardError('bug', 'a route of hosts without a host');
  return host;
}

const keyHashes = new WeakMap<object, string>();

function keyHashOf(socket: object): string | null {
  const known = keyHashes.get(socket);
  if (known !== undefined || !(socket instanceof TLSSocket)) return known ?? null;
  const key = socket.getPeerX509Certificate()?.publicKey.export({ type: 'spki', format: 'der' });
  if (key === undefined) return null;
  const made = hash(key).toString('hex');
  keyHashes.set(socket, made);
  return made;
}

const enrolHint =
  'To let it in (again), remove DATA/identity on the host and start it with --passphrase-file.';
const cloneHint = 'If this host was cloned, remove DATA/identity and start it again with --passphrase-file.';

const refused = (message: string, hint: string): HomewardError =>
  new HomewardError('not-allowed', message, { hint });
