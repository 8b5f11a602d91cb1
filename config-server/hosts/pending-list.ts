// Hosts that have proved the passphrase and wait for an operator, over restarts of the server.
import { HomewardError } from '../../core/errors.ts';
import type { HostRole } from '../../core/identity/host-identity.ts';
import { limits } from '../../core/limits.ts';
import type { PendingRow, State } from '../state/tables.ts';

export type WaitReason = 'new-host' | 'host-id-taken' | 'removed-before';

/** What operators name it by: two hosts may have one id. */
export const entryOf = (keyHash: string): string => keyHash.slice(0, 12);

/** Times are microseconds. */
export interface PendingHost {
  keyHash: string;
  hostId: string;
  role: HostRole;
  name: string;
  version: string;
  /** Where it asks from. */
  address: string;
  reason: WaitReason;
  firstAsked: number;
  lastAsked: number;
  approved: boolean;
}

export class PendingList {
  readonly #state: State;
  readonly #hosts: Map<string, PendingHost>;

  private constructor(state: State, hosts: PendingHost[]) {
    this.#state = state;
    this.#hosts = new Map(hosts.map((host) => [host.keyHash, host]));
  }

  static async open(state: State): Promise<PendingList> {
    const rows = await state.selectFrom('pending').selectAll().orderBy('first_asked').execute();
    return new PendingList(state, rows.map(fromRow));
  }

  list(): PendingHost[] {
    return [...this.#hosts.values()];
  }

  get(keyHash: string): PendingHost | null {
    return this.#hosts.get(keyHash) ?? null;
  }

  /** Throws 'too-many-attempts' when too many wait already. */
  async put(host: PendingHost): Promise<void> {
    if (!this.#hosts.has(host.keyHash) && this.#hosts.size >= limits.pendingHosts) {
      throw new HomewardError('too-many-attempts', `${this.#hosts.size} hosts wait for approval already`, {
        hint: 'Say yes or no to those that wait: `homeward hosts`.',
      });
    }
    const { key_hash, ...rest } = toRow(host);
    await this.#state
      .insertInto('pending')
      .values({ key_hash, ...rest })
      .onConflict((conflict) => conflict.column('key_hash').doUpdateSet(rest))
      .execute();
    this.#hosts.set(host.keyHash, host);
  }

  /** It asks again: only memory knows when. */
  touch(keyHash: string, now: number): void {
    const host = this.#hosts.get(keyHash);
    if (host !== undefined) host.lastAsked = now;
  }

  async remove(keyHash: string): Promise<void> {
    await this.#state.deleteFrom('pending').where('key_hash', '=', keyHash).execute();
    this.#hosts.delete(keyHash);
  }
}

const fromRow = (row: PendingRow): PendingHost => ({
  keyHash: row.key_hash,
  hostId: row.host_id,
  role: row.role as HostRole,
  name: row.name,
  version: row.version,
  address: row.address,
  reason: row.reason as WaitReason,
  firstAsked: row.first_asked,
  lastAsked: row.last_asked,
  approved: row.approved === 1,
});

const toRow = (host: PendingHost): PendingRow => ({
  key_hash: host.keyHash,
  host_id: host.hostId,
  role: host.role,
  name: host.name,
  version: host.version,
  address: host.address,
  reason: host.reason,
  first_asked: host.firstAsked,
  last_asked: host.lastAsked,
  approved: host.approved ? 1 : 0,
});
