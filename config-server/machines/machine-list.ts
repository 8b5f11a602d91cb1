// The machines that mobility services have reported, in memory and in the database.
import { HomewardError } from '../../core/errors.ts';
import type { SourceReport } from '../../core/registration/messages.ts';
import type { MachineRow, State } from '../state/tables.ts';

export interface KnownMachine {
  id: string;
  name: string;
  /** Host id of its mobility service. */
  source: string;
  disks: SourceReport['disks'];
  /** Microseconds. */
  firstSeen: number;
}

export class MachineList {
  readonly #state: State;
  readonly #machines: Map<string, KnownMachine>;

  private constructor(state: State, machines: KnownMachine[]) {
    this.#state = state;
    this.#machines = new Map(machines.map((machine) => [machine.id, machine]));
  }

  static async open(state: State): Promise<MachineList> {
    const rows = await state.selectFrom('machines').selectAll().orderBy('first_seen').execute();
    return new MachineList(state, rows.map(fromRow));
  }

  list(): KnownMachine[] {
    return [...this.#machines.values()];
  }

  get(id: string): KnownMachine | null {
    return this.#machines.get(id) ?? null;
  }

  /**
   * The machine of an id or a name. Of several with one name that counts whose source `isLive`: the others
   * were left by sources that were removed. Null when there is none. Throws 'conflict' when it is not clear.
   */
  find(nameOrId: string, isLive: (source: string) => boolean): KnownMachine | null {
    const byId = this.get(nameOrId);
    if (byId !== null) return byId;
    const named = this.list().filter(({ name }) => name === nameOrId);
    const live = named.filter(({ source }) => isLive(source));
    const [found, another] = live.length > 0 ? live : named;
    if (found !== undefined && another !== undefined) {
      throw new HomewardError('conflict', `${named.length} machines are called "${nameOrId}"`, {
        hint: 'Name it by its id; `homeward machines` lists them.',
      });
    }
    return found ?? null;
  }

  async put(machine: KnownMachine): Promise<void> {
    const { id, ...rest } = toRow(machine);
    await this.#state
      .insertInto('machines')
      .values({ id, ...rest })
      .onConflict((conflict) => conflict.column('id').doUpdateSet(rest))
      .execute();
    this.#machines.set(id, machine);
  }
}

const fromRow = (row: MachineRow): KnownMachine => ({
  id: row.id,
  name: row.name,
  source: row.source,
  disks: JSON.parse(row.disks) as KnownMachine['disks'],
  firstSeen: row.first_seen,
});

const toRow = (machine: KnownMachine): MachineRow => ({
  id: machine.id,
  name: machine.name,
  source: machine.source,
  disks: JSON.stringify(machine.disks),
  first_seen: machine.firstSeen,
});
