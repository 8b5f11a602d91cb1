// What a check of the host is, what it is told, and what it answers.
import type { HostRole } from '../../core/identity/host-identity.ts';
import type { Host } from './host.ts';

/**
 * `hard`: the service does not start with it. `hard-unless-accepted`: nor with this, unless somebody said why
 * it may stay so. `advice`: shown.
 */
export type Severity = 'hard' | 'hard-unless-accepted' | 'advice';

export interface Finding {
  /** `skipped`: it does not apply to this host, or could not be looked at; `found` says which. */
  result: 'pass' | 'fail' | 'warn' | 'skipped';
  /** One sentence without a full stop: what is there, by name. */
  found: string;
  /** What to do about it, or null. */
  action: string | null;
}

export interface Check {
  /** As in the table of section 3: kebab-case, a contract. */
  id: string;
  severity: Severity;
  /** As the table shows it. */
  title: string;
  /** The roles it is for; all when left out. */
  roles?: readonly HostRole[];
  run(host: Host, context: CheckContext): Promise<Finding>;
  /** Puts it right where that is safe; says what it did. Throws when it could not. */
  fix?(host: Host, context: CheckContext): Promise<string>;
}

/** A replica of a machine's disk on this host. */
export interface ReplicaAt {
  machine: string;
  disk: string;
  kind: 'file' | 'device';
  path: string;
}

/** Somebody's word that a finding may stay. */
export interface AcceptedCheck {
  id: string;
  because: string;
  /** RFC 3339. */
  since: string;
}

export interface CheckContext {
  role: HostRole;
  /** TCP ports that others have to reach here. */
  ports: readonly number[];
  version: string;
  /** Paths; null where the role has none. */
  data: string;
  retention: string | null;
  /** The directory of replica files. */
  replicaDirectory: string | null;
  replicas: readonly ReplicaAt[];
  spool: string | null;
  configServer: { host: string; port: number } | null;
  processServers: readonly { host: string; port: number }[];
  /** Of the configuration server and the process servers, where known. */
  versions: readonly { role: HostRole; name: string; version: string }[];
  /** The configuration server's clock less ours, where known. */
  clockOffsetMs: number | null;
  /** Kinds of file systems on the disks of protected machines: xfs, btrfs, ntfs … */
  sourceFileSystems: readonly string[];
  /** Bytes a day that the retention volume grows, where known. */
  growthBytesPerDay: number | null;
  accepted: readonly AcceptedCheck[];
  /** Nothing may be fetched. */
  offline: boolean;
}

/** A context in which nothing is known but the role: an installer's, and the base of tests. */
export function emptyContext(role: HostRole, version: string, data: string): CheckContext {
  return {
    ...{ role, ports: [], version, data },
    ...{ retention: null, replicaDirectory: null, spool: null, configServer: null },
    ...{ replicas: [], processServers: [], versions: [], sourceFileSystems: [], accepted: [] },
    ...{ clockOffsetMs: null, growthBytesPerDay: null, offline: false },
  };
}

export const pass = (found: string): Finding => ({ result: 'pass', found, action: null });
export const fail = (found: string, action: string): Finding => ({ result: 'fail', found, action });
export const warn = (found: string, action: string | null): Finding => ({ result: 'warn', found, action });
export const skipped = (found: string): Finding => ({ result: 'skipped', found, action: null });
