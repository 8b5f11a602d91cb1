// The assignment of each machine: signed, stored, and told to every host that any epoch of it names.
import type { Assignment, SignedAssignment } from '../../core/identity/assignment.ts';
import type { AssignmentRow, State } from '../state/tables.ts';

export interface StoredAssignment {
  assignment: Assignment;
  signed: SignedAssignment;
  revision: number;
  told: string[];
}

export type Sign = (assignment: Assignment) => SignedAssignment;

export interface AssignmentsOptions {
  state: State;
  sign: Sign;
  now: () => number;
  /** A host has something new to hear. */
  wake: (hostId: string) => void;
}

export class Assignments {
  readonly #options: AssignmentsOptions;
  readonly #stored: Map<string, StoredAssignment>;
  #revision: number;

  private constructor(options: AssignmentsOptions, stored: StoredAssignment[]) {
    this.#options = options;
    this.#stored = new Map(stored.map((each) => [each.assignment.machine, each]));
    this.#revision = Math.max(0, ...stored.map(({ revision }) => revision));
  }

  static async open(options: AssignmentsOptions): Promise<Assignments> {
    const rows = await options.state.selectFrom('assignments').selectAll().execute();
    return new Assignments(options, rows.map(fromRow));
  }

  /** Also one that has ended. */
  get(machine: string): Assignment | null {
    return this.#stored.get(machine)?.assignment ?? null;
  }

  /** Those that have not ended. */
  active(): Assignment[] {
    return [...this.#stored.values()].map(({ assignment }) => assignment).filter(({ ended }) => !ended);
  }

  /** What a host is to know, ended ones included: otherwise it would go on for ever. */
  of(hostId: string): { revision: number; signed: SignedAssignment[] } {
    const named = [...this.#stored.values()].filter(({ told }) => told.includes(hostId));
    return {
      revision: Math.max(0, ...named.map(({ revision }) => revision)),
      signed: named.map(({ signed }) => signed),
    };
  }

  /** Signs it as the next epoch of its machine. Stored before anybody hears of it. */
  async change(next: Omit<Assignment, 'epoch'>): Promise<Assignment> {
    const before = this.#stored.get(next.machine);
    const assignment = { ...next, epoch: (before?.assignment.epoch ?? 0) + 1 };
    const named = [next.source, next.masterTarget, next.processServer.hostId];
    const stored: StoredAssignment = {
      assignment,
      signed: this.#options.sign(assignment),
      revision: ++this.#revision,
      told: [...new Set([...(before?.told ?? []), ...named])],
    };
    const { machine, ...rest } = toRow(stored, this.#options.now());
    await this.#options.state
      .insertInto('assignments')
      .values({ machine, ...rest })
      .onConflict((conflict) => conflict.column('machine').doUpdateSet(rest))
      .execute();
    this.#stored.set(machine, stored);
    for (const hostId of stored.told) this.#options.wake(hostId);
    return assignment;
  }
}

const fromRow = ({ text, signature, revision, told }: AssignmentRow): StoredAssignment => ({
  assignment: JSON.parse(text) as Assignment,
  signed: { text, signature },
  revision,
  told: JSON.parse(told) as string[],
});

const toRow = ({ assignment, signed, revision, told }: StoredAssignment, now: number): AssignmentRow => ({
  machine: assignment.machine,
  epoch: assignment.epoch,
  revision,
  text: signed.text,
  signature: signed.signature,
  told: JSON.stringify(told),
  changed_at: now,
});
