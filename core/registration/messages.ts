// What a host and the configuration server tell each other: docs/chain.md, section 2, as data and as schemas.
import { z } from 'zod';
import type { MachineStatus, RetentionForecast } from './machine-status.ts';
import type { Head } from '../chain/messages.ts';
import { checkSummarySchema, type CheckSummary } from './check-summary.ts';
import { signedAssignmentSchema, type SignedAssignment } from '../identity/assignment.ts';

const text = z.string().max(4096);
const count = z.number().nonnegative();

/** A disk as the host sees it; `byId` is the name by which it can be chosen as a target. */
export const hostDiskSchema = z.object({
  name: text,
  size: count,
  path: text,
  wwid: text.nullable().optional(),
  byId: text.nullable().optional(),
});
export type HostDisk = z.infer<typeof hostDiskSchema>;

/** What a process server says of one machine in its spool. */
export interface SpoolReport {
  machine: string;
  spooled: number;
  target: number;
  applied: number;
  /** Not yet durable at the master target. */
  backlogBytes: number;
  spoolBytes: number;
  sourceConnected: boolean;
  targetConnected: boolean;
  room: 'ok' | 'slow' | 'full';
  /** What an operator should know: damage found, records lost …; newest last, at most 20. */
  problems: string[];
}

/** What a mobility service says of its machine. */
export interface SourceReport {
  /** UUID of the machine, made by the mobility service at its first start. */
  machine: string;
  name: string;
  disks: { name: string; size: number; kind: 'front' | 'scan' }[];
  head: Head;
  connected: boolean;
  /** Why the stream to the process server is not there, or null. */
  problem: { code: string; message: string } | null;
}

/** What a master target says of itself and its machines. */
export interface TargetReport {
  retention: { path: string; freeBytes: number; forecast?: RetentionForecast };
  machines: MachineStatus[];
}

export interface Heartbeat {
  version: string;
  /** Microseconds since 1970 of the host's clock. */
  time: number;
  /** Where others reach it, `host:port`, best first; empty when it listens nowhere. */
  addresses: string[];
  disks: HostDisk[];
  source?: SourceReport | undefined;
  spools?: SpoolReport[] | undefined;
  target?: TargetReport | undefined;
  /** The newest findings of `homeward check` on this host. */
  checks?: CheckSummary | undefined;
}

const anyObject = z.record(z.string(), z.unknown());

export const heartbeatSchema: z.ZodType<Heartbeat> = z.object({
  version: text,
  time: count,
  addresses: z.array(text).max(64),
  disks: z.array(hostDiskSchema).max(1024),
  source: anyObject.optional(),
  spools: z.array(anyObject).max(10_000).optional(),
  target: anyObject.optional(),
  checks: checkSummarySchema.optional(),
}) as unknown as z.ZodType<Heartbeat>;

export interface HeartbeatAnswer {
  time: number;
  /** Of the work for this host: ask for it when it is above what is known. */
  revision: number;
}

/** A request of an operator that this host serves, as if it came over its control socket. */
export interface HostCall {
  id: string;
  method: 'GET' | 'POST' | 'DELETE';
  /** `/v1/…` */
  path: string;
  /** JSON text, or null. */
  body: string | null;
}

export interface HostWork {
  revision: number;
  /** Every assignment that names this host, newest epoch of each machine, ended ones for a while. */
  assignments: SignedAssignment[];
  calls: HostCall[];
}

export const heartbeatAnswerSchema: z.ZodType<HeartbeatAnswer> = z.object({ time: count, revision: count });

export const hostWorkSchema: z.ZodType<HostWork> = z.object({
  revision: count,
  assignments: z.array(signedAssignmentSchema).max(10_000),
  calls: z
    .array(
      z.object({
        id: text,
        method: z.enum(['GET', 'POST', 'DELETE']),
        path: text,
        body: z.string().nullable(),
      }),
    )
    .max(1024),
});
