// The tables of the configuration server as they are stored; times are microseconds, lists are JSON.
import type { Kysely } from 'kysely';

/** A host that has been let in; it stays known when it is removed. */
export interface HostRow {
  id: string;
  role: string;
  name: string;
  /** SHA-256 of the public key in its certificate, in hex. */
  key_hash: string;
  version: string;
  addresses: string;
  disks: string;
  first_contact: number;
  last_contact: number | null;
  removed_at: number | null;
}

/** A host that has proved the passphrase and waits for an operator. */
export interface PendingRow {
  key_hash: string;
  host_id: string;
  role: string;
  name: string;
  version: string;
  /** Where it asks from. */
  address: string;
  reason: string;
  first_asked: number;
  last_asked: number;
  /** 1 once an operator has said yes: the certificate is handed out when it asks next. */
  approved: number;
}

export interface MachineRow {
  id: string;
  name: string;
  /** Host id. */
  source: string;
  disks: string;
  first_seen: number;
}

export interface AssignmentRow {
  machine: string;
  epoch: number;
  /** Rises with each change of any assignment. */
  revision: number;
  text: string;
  signature: string;
  /** Host ids that are told of it: those it names, and those that the epoch before named. */
  told: string;
  changed_at: number;
}

export interface EventRow {
  id: number;
  time: number;
  kind: string;
  severity: string;
  host: string | null;
  machine: string | null;
  message: string;
}

/** The ledger of a machine at a master target, as that said last. */
export interface LedgerRow {
  host: string;
  machine: string;
  n: number;
  hash: string;
  went_back_at: number | null;
  went_back: string | null;
}

export interface Tables {
  hosts: HostRow;
  pending: PendingRow;
  machines: MachineRow;
  assignments: AssignmentRow;
  events: EventRow;
  ledgers: LedgerRow;
}

export type State = Kysely<Tables>;
