// The hosts that have been let in, in memory and in the database: memory follows what is stored.
import type { HostRole } from '../../core/identity/host-identity.ts';
import type { HostDisk } from '../../core/registration/messages.ts';
import type { HostRow, State } from '../state/tables.ts';

/** Times are microseconds. */
export interface KnownHost {
  id: string;
  role: HostRole;
  name: string;
  keyHash: string;
  version: string;
  addresses: string[];
  disks: HostDisk[];
  firstContact: number;
  lastContact: number | null;
  removedAt: number | null;
}

export class HostList {
  readonly #state: State;
  readonly #hosts: Map<string, KnownHost>;

  private constructor(state: State, hosts: KnownHost[]) {
    this.#state = state;
    this.#hosts = new Map(hosts.map((host) => [host.id, host]));
  }

  static async open(state: State): Promise<HostList> {
    const rows = await state.selectFrom('hosts').selectAll().orderBy('first_contact').execute();
    return new HostList(state, rows.map(fromRow));
  }

  /** Without those that were removed. */
  list(): KnownHost[] {
    return [...this.#hosts.values()].filter(({ removedAt }) => removedAt === null);
  }

  get(id: string): KnownHost | null {
    const host = this.#hosts.get(id);
    return host === undefined || host.removedAt !== null ? null : host;
  }

  /** Also one that was removed: it has been seen before. */
  seen(id: string): KnownHost | null {
    return this.#hosts.get(id) ?? null;
  }

  async put(host: KnownHost): Promise<void> {
    const { id, ...rest } = toRow(host);
    await this.#state
      .insertInto('hosts')
      .values({ id, ...rest })
      .onConflict((conflict) => conflict.column('id').doUpdateSet(rest))
      .execute();
    this.#hosts.set(id, host);
  }
}

const fromRow = (row: HostRow): KnownHost => ({
  id: row.id,
  role: row.role as HostRole,
  name: row.name,
  keyHash: row.key_hash,
  version: row.version,
  addresses: JSON.parse(row.addresses) as string[],
  disks: JSON.parse(row.disks) as HostDisk[],
  firstContact: row.first_contact,
  lastContact: row.last_contact,
  removedAt: row.removed_at,
});

const toRow = (host: KnownHost): HostRow => ({
  id: host.id,
  role: host.role,
  name: host.name,
  key_hash: host.keyHash,
  version: host.version,
  addresses: JSON.stringify(host.addresses),
  disks: JSON.stringify(host.disks),
  first_contact: host.firstContact,
  last_contact: host.lastContact,
  removed_at: host.removedAt,
});
