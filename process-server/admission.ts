// Who may speak for a machine: what a hello says, held against the certificate and the newest assignment.
import type { Hello } from '../core/chain/messages.ts';
import { HomewardError } from '../core/errors.ts';
import type { Assignment, AssignmentBook } from '../core/identity/assignment.ts';
import { HostRole } from '../core/identity/host-identity.ts';
import type { Peer } from '../core/identity/tls.ts';

export interface AdmissionRequest {
  hello: Pick<Hello, 'role' | 'assignment'>;
  peer: Peer;
  book: AssignmentBook;
  /** Our own host id. */
  hostId: string;
  /** The hello brought a newer assignment, whoever it lets in. */
  news(assignment: Assignment): void;
}

/** The assignment that lets the peer in. Throws 'not-assigned', with who asks and who is assigned. */
export function admit({ hello, peer, book, hostId, news }: AdmissionRequest): Assignment {
  const { assignment, changed } = book.accept(hello.assignment);
  if (changed) news(assignment);
  const refusal = refusalOf(assignment, { role: hello.role, peer, hostId });
  if (refusal !== null) throw new HomewardError('not-assigned', refusal);
  return assignment;
}

export interface Claim {
  role: Hello['role'];
  peer: Peer;
  hostId: string;
}

/** Why a host may not, or may no longer, speak for the machine of an assignment; null: it may. */
export function refusalOf(assignment: Assignment, { role, peer, hostId }: Claim): string | null {
  const { name, processServer, source, masterTarget, ended } = assignment;
  if (ended) return `machine ${name} is not protected any more`;
  if (processServer.hostId !== hostId)
    return `machine ${name} is assigned to process server ${processServer.hostId}, this is ${hostId}`;
  const assigned = role === 'source' ? source : masterTarget;
  const hostRole = role === 'source' ? HostRole.mobility : HostRole.masterTarget;
  if (peer.hostId === assigned && peer.role === hostRole) return null;
  const what = role === 'source' ? 'source' : 'master target';
  return `machine ${name} is assigned to ${what} ${assigned}, not to ${peer.role} ${peer.hostId}`;
}
