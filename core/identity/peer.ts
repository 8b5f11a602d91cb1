// Who a certificate is for: a host id and a role in its subject, and nothing else in it.
import type { X509Certificate } from 'node:crypto';
import { hostIdSchema, hostRoleSchema, type HostRole } from './host-identity.ts';

export interface Peer {
  hostId: string;
  role: HostRole;
}

/**
 * Null when the subject is not that of a host. A part that is there twice is an array, and so is no part of a
 * host.
 */
export function peerIn(certificate: X509Certificate): Peer | null {
  const { CN, OU } = certificate.toLegacyObject().subject as unknown as Readonly<Record<string, unknown>>;
  const hostId = hostIdSchema.safeParse(CN);
  const role = hostRoleSchema.safeParse(OU);
  return hostId.success && role.success ? { hostId: hostId.data, role: role.data } : null;
}
