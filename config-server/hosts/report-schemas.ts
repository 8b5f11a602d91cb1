// What hosts report, checked before anything is done with it; members that are not known go through.
import { z } from 'zod';
import { limits } from '../../core/limits.ts';
import { checkDiskName, checkDiskSize, checkMachineName } from '../../core/names.ts';
import { heartbeatSchema, type Heartbeat } from '../../core/registration/messages.ts';
import { HomewardError } from '../../core/errors.ts';
import { parseAddress } from '../../core/identity/address.ts';
import { hostIdSchema } from '../../core/identity/host-identity.ts';
import type { Peer } from '../../core/identity/tls.ts';

const count = z.number().nonnegative();
const text = z.string().max(4096);

const sync = z.looseObject({
  reason: text,
  phase: z.enum(['waiting', 'comparing', 'copying', 'ending']),
  doneBytes: count,
  totalBytes: count,
  differentBytes: count.nullable(),
  secondsLeft: count.nullable(),
  ahead: count.nullable(),
});

const sourceState = z.enum([
  'ok',
  'initial-sync',
  'resync',
  'waiting-for-sync',
  'scan',
  'paused',
  'overflow',
  'unprotected',
]);

const sourceReport = z.looseObject({
  machine: hostIdSchema,
  name: text,
  disks: z
    .array(z.looseObject({ name: text, size: count, kind: z.enum(['front', 'scan']) }))
    .max(limits.disksPerMachine),
  head: z.looseObject({
    lsn: count,
    time: count,
    state: sourceState,
    backlogBytes: count,
    dirtyBytes: count,
    sync: sync.nullable(),
  }),
  connected: z.boolean(),
  problem: z.looseObject({ code: text, message: text }).nullable(),
});

const spoolReport = z.looseObject({
  machine: hostIdSchema,
  backlogBytes: count,
  sourceConnected: z.boolean(),
  targetConnected: z.boolean(),
  problems: z.array(text).max(limits.spoolProblems),
});

const machineStatus = z.looseObject({
  id: text,
  name: text,
  disks: z.array(z.looseObject({ name: text, size: count, replica: text })).max(limits.disksPerMachine),
  state: text,
  detail: z.string().nullable(),
  listen: text.nullable(),
  rpoSeconds: count.nullable(),
  headLsn: count,
  durableLsn: count,
  appliedLsn: count,
  oldestLsn: count.nullable(),
  redoBytes: count,
  undoBytes: count,
  backlog: z.object({ source: count, processServer: count, target: count }),
  ledger: z.looseObject({ n: count.int().max(Number.MAX_SAFE_INTEGER), hash: text }).optional(),
  source: z
    .looseObject({ state: sourceState, sync: sync.nullable(), connected: z.boolean(), dirtyBytes: count })
    .optional(),
});

const forecast = z.looseObject({
  text: text.nullable(),
  hours: count,
  fallsUnderAt: text.nullable(),
  machine: text.nullable(),
  sustainedHours: count.nullable(),
});

const targetReport = z.looseObject({
  retention: z.looseObject({ path: text, freeBytes: z.number(), forecast: forecast.optional() }),
  machines: z.array(machineStatus),
});

/** An assignment carries them to whoever connects there. Throws 'usage'. */
function checkAddresses(addresses: readonly string[]): void {
  for (const address of addresses) {
    if (address.length > addressCharacters) throw new HomewardError('usage', 'an address is too long');
    parseAddress(address);
  }
}

/** A host name has at most 253. */
const addressCharacters = 260;

/** Throws 'usage' for what does not fit, 'not-allowed' for a report that is not this role's to make. */
export function parseHeartbeat(value: unknown, { role }: Peer): Heartbeat {
  const heartbeat = check(heartbeatSchema, value);
  checkAddresses(heartbeat.addresses);
  if (heartbeat.source !== undefined) {
    ensureRole(role, 'mobility', 'source');
    const { name, disks } = check(sourceReport, heartbeat.source);
    checkMachineName(name);
    for (const disk of disks) {
      checkDiskName(disk.name);
      checkDiskSize(disk.size);
    }
  }
  if (heartbeat.spools !== undefined) {
    ensureRole(role, 'process-server', 'spools');
    check(z.array(spoolReport), heartbeat.spools);
  }
  if (heartbeat.target !== undefined) {
    ensureRole(role, 'master-target', 'target');
    check(targetReport, heartbeat.target);
  }
  return heartbeat;
}

function check<T>(schema: z.ZodType<T>, value: unknown): T {
  const { data, error } = schema.safeParse(value);
  if (error === undefined) return data;
  const [issue] = error.issues;
  const place = issue?.path.map(String).join('.') ?? '';
  throw new HomewardError('usage', `the heartbeat is not valid: ${place}: ${issue?.message ?? ''}`);
}

function ensureRole(role: string, needed: string, part: string): void {
  if (role === needed) return;
  throw new HomewardError('not-allowed', `a ${role} does not report "${part}"; a ${needed} does`);
}
