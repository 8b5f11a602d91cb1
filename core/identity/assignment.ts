// Assignments: which process server and master target a machine has, signed by the authority, newest epoch
// wins.
import { sign, verify, X509Certificate } from 'node:crypto';
import { z } from 'zod';
import { readSealedJson, writeSealedJson } from '../atomic-file.ts';
import { HomewardError } from '../errors.ts';
import { limits } from '../limits.ts';
import type { Authority } from './authority.ts';
import { hostIdSchema } from './host-identity.ts';

export interface AssignedSeed {
  disk: string;
  /** On the master target. */
  path: string;
  format: 'raw' | 'qcow2' | 'vmdk' | 'device';
}

export interface Assignment {
  /** UUID. */
  machine: string;
  name: string;
  epoch: number;
  /** Host ids. */
  source: string;
  masterTarget: string;
  processServer: { hostId: string; addresses: string[] };
  disks: { name: string; size: number }[];
  seeds: AssignedSeed[];
  windowMs: number;
  consistencyIntervalMs: number;
  /** The machine is not protected any more. */
  ended: boolean;
}

export interface SignedAssignment {
  /** The assignment as JSON, exactly as it was signed. */
  text: string;
  /** base64url. */
  signature: string;
}

/** The newest assignments that a host has seen, in a file: older epochs are refused. */
export interface AssignmentBook {
  /** Newest of each machine, ended ones included. */
  list(): Assignment[];
  get(machine: string): Assignment | null;
  signed(machine: string): SignedAssignment | null;
  /**
   * Takes one in, durably. Returns the assignment, and whether it is newer than what was known. Throws
   * 'not-assigned' when the signature does not fit or the epoch is older than the newest known.
   */
  accept(signed: SignedAssignment): { assignment: Assignment; changed: boolean };
}

const count = z.number().int().nonnegative();

const assignmentSchema: z.ZodType<Assignment> = z.object({
  machine: hostIdSchema,
  name: z.string(),
  epoch: count,
  source: hostIdSchema,
  masterTarget: hostIdSchema,
  processServer: z.object({ hostId: hostIdSchema, addresses: z.array(z.string()) }),
  disks: z.array(z.object({ name: z.string(), size: count })),
  seeds: z.array(
    z.object({ disk: z.string(), path: z.string(), format: z.enum(['raw', 'qcow2', 'vmdk', 'device']) }),
  ),
  windowMs: count,
  consistencyIntervalMs: count,
  ended: z.boolean(),
});

/** As it comes over the wire or out of a file. */
export const signedAssignmentSchema: z.ZodType<SignedAssignment> = z.object({
  text: z.string().max(limits.assignmentBytes),
  signature: z.string().max(128),
});

/**
 * Signs with the authority's key. The same key signs certificates, but nothing fits both: a text begins with
 * `{`, what is signed of a certificate with the byte of an ASN.1 sequence.
 */
export function signAssignment(authority: Pick<Authority, 'key'>, assignment: Assignment): SignedAssignment {
  const text = JSON.stringify(assignmentSchema.parse(assignment));
  if (text.length > limits.assignmentBytes) {
    throw new HomewardError('usage', `machine ${assignment.name} has too many disks and seeds to assign`);
  }
  const key = { key: authority.key, dsaEncoding: 'ieee-p1363' } as const;
  return { text, signature: sign('sha256', Buffer.from(text), key).toString('base64url') };
}

/** The assignment, when the authority (PEM) signed it. Throws 'not-assigned'. */
export function verifyAssignment(authority: string, signed: SignedAssignment): Assignment {
  const assignment = tryVerify(new X509Certificate(authority), signed);
  if (assignment === null) {
    throw new HomewardError('not-assigned', 'the authority of this host has not signed this assignment');
  }
  return assignment;
}

const bookFormat = 'homeward assignments';
const bookSchema = z.object({ assignments: z.array(signedAssignmentSchema) });

interface Entry {
  signed: SignedAssignment;
  assignment: Assignment;
}

/**
 * The book in `file`; an empty one when there is no such file. Entries of another authority are left out:
 * after a new enrolment their epochs say nothing.
 */
export function openAssignmentBook(file: string, authority: string): AssignmentBook {
  const entries = readBook(file, authority);
  const write = (changed: ReadonlyMap<string, Entry>): void =>
    writeSealedJson(file, bookFormat, { assignments: [...changed.values()].map(({ signed }) => signed) });
  return {
    list: () => [...entries.values()].map(({ assignment }) => assignment),
    get: (machine) => entries.get(machine)?.assignment ?? null,
    signed: (machine) => entries.get(machine)?.signed ?? null,
    accept({ text, signature }) {
      const assignment = verifyAssignment(authority, { text, signature });
      const known = entries.get(assignment.machine);
      if (known?.signed.text === text) return { assignment: known.assignment, changed: false };
      if (known !== undefined && assignment.epoch <= known.assignment.epoch) {
        throw outdated(assignment, known.assignment.epoch);
      }
      // On disk before in memory: what was acted on once must not be forgotten by a crash.
      const entry = { signed: { text, signature }, assignment };
      write(new Map(entries).set(assignment.machine, entry));
      entries.set(assignment.machine, entry);
      return { assignment, changed: true };
    },
  };
}

function readBook(file: string, authority: string): Map<string, Entry> {
  const entries = new Map<string, Entry>();
  const body = readSealedJson(file, bookFormat);
  if (body === null) return entries;
  const { data, error } = bookSchema.safeParse(body);
  if (error !== undefined) {
    throw new HomewardError('damaged', `${file}: ${z.prettifyError(error)}`, { cause: error });
  }
  const certificate = new X509Certificate(authority);
  for (const signed of data.assignments) {
    const assignment = tryVerify(certificate, signed);
    if (assignment !== null) entries.set(assignment.machine, { signed, assignment });
  }
  return entries;
}

function tryVerify(authority: X509Certificate, { text, signature }: SignedAssignment): Assignment | null {
  if (text.length > limits.assignmentBytes) return null;
  const key = { key: authority.publicKey, dsaEncoding: 'ieee-p1363' } as const;
  if (!verify('sha256', Buffer.from(text), key, Buffer.from(signature, 'base64url'))) return null;
  return assignmentSchema.parse(JSON.parse(text));
}

function outdated({ name, epoch }: Assignment, known: number): HomewardError {
  return new HomewardError(
    'not-assigned',
    epoch === known
      ? `two assignments of machine ${name} carry the epoch ${epoch}`
      : `the assignment of machine ${name} is of epoch ${epoch}, but epoch ${known} is known`,
  );
}
