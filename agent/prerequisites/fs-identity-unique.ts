// fs-identity-unique: no replica goes by a name that this host uses; else it might start from a copy.
import { fail, pass, skipped, warn, type Check, type ReplicaAt } from './check.ts';
import type { Host } from './host.ts';
import { readNamesInUse, type NameInUse } from './names-in-use.ts';
import { readCarriedNames, type CarriedName } from './superblocks.ts';
import { HostRole } from '../../core/identity/host-identity.ts';

export const fsIdentityUnique: Check = {
  id: 'fs-identity-unique',
  severity: 'hard',
  title: 'No replica carries a name that this host uses',
  roles: [HostRole.masterTarget],
  async run(host, { replicas }) {
    if (replicas.length === 0) return skipped('no machine has a replica here yet');
    const inUse = readNamesInUse(host);
    const looks = replicas.map((replica) => ({ replica, names: namesOf(host, replica) }));
    const clashes = looks.flatMap(({ replica, names }) =>
      findClashes(names ?? [], inUse).map((clash) => describeClash(replica, clash)),
    );
    const unread = looks.flatMap(({ replica, names }) => (names === null ? [replica.path] : []));
    if (clashes.length > 0) return fail([...new Set(clashes)].join('; '), action);
    if (unread.length > 0)
      return warn(
        `could not be read: ${unread.join(', ')}; no other replica clashes`,
        'Run the check as root.',
      );
    return pass(`${replicas.length === 1 ? '1 replica' : `${replicas.length} replicas`}, no name shared`);
  },
};

const action =
  'This host was probably cloned from the same template. Before it restarts give its own file systems new ' +
  'names (tune2fs -U random, xfs_admin -U generate, vgrename, …) and put these into fstab, crypttab and ' +
  'the boot loader; or use a host that was installed anew.';

function namesOf(host: Host, { path }: ReplicaAt): CarriedName[] | null {
  if (host.readBytes(path, 0, 512) === null) return null;
  const size = host.stat(path)?.size ?? 0;
  return readCarriedNames((offset, length) => host.readBytes(path, offset, length), size === 0 ? null : size);
}

export interface Clash {
  carried: CarriedName;
  /** Everybody here who uses it. */
  by: string[];
}

/** Ids without regard to case; labels and groups as they are written. */
export function findClashes(carried: readonly CarriedName[], inUse: readonly NameInUse[]): Clash[] {
  const key = (field: string, value: string): string =>
    `${field}=${field.endsWith('UUID') && field !== 'VG UUID' ? value.toLowerCase() : value}`;
  const users = new Map<string, Set<string>>();
  for (const { field, value, by } of inUse) {
    const at = key(field, value);
    users.set(at, (users.get(at) ?? new Set()).add(by));
  }
  return carried.flatMap((name) => {
    const by = users.get(key(name.field, name.value));
    return by === undefined ? [] : [{ carried: name, by: [...by] }];
  });
}

const mostUsers = 3;

function describeClash({ machine, disk }: ReplicaAt, { carried, by }: Clash): string {
  const part = carried.partition === null ? '' : `, partition ${carried.partition}`;
  const users = by.slice(0, mostUsers).join(', ') + (by.length > mostUsers ? ', …' : '');
  const { kind, field, value } = carried;
  return `the replica of ${machine} ${disk}${part} (${kind}) has ${field} ${value}, used by ${users}`;
}
