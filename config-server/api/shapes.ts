// The shapes of requests and answers as zod schemas: they check, and they describe themselves in OpenAPI.
import { z } from 'zod';
import { limits } from '../../core/limits.ts';
import { checkSummarySchema } from '../../core/registration/check-summary.ts';
import { siteFactsSchema } from '../../core/registration/site-facts.ts';
import type { FleetReport } from '../machines/fleet.ts';

const text = z.string().max(limits.controlTextBytes);
const name = z.string().min(1).max(limits.controlTextBytes);
const count = z.number().int().nonnegative();
const ms = z.number().int().max(limits.windowMostMs);
const time = z.string().describe('RFC 3339, UTC');

export const errorShape = z
  .object({ error: z.object({ code: z.string(), message: z.string(), hint: z.string() }) })
  .describe('What went wrong; docs/errors.md has every code.');

export const hostShape = z.object({
  entry: z.string().describe('Tells two hosts with one id apart.'),
  id: z.string(),
  role: z.enum(['config-server', 'process-server', 'master-target', 'mobility']),
  name: z.string(),
  version: z.string(),
  state: z.enum(['joined', 'waiting', 'approved']),
  reason: z.enum(['new-host', 'host-id-taken', 'removed-before']).nullable(),
  health: z.enum(['ok', 'warning', 'critical', 'waiting']),
  detail: z.string().nullable(),
  addresses: z.array(z.string()),
  seenAt: z.string().nullable(),
  disks: z.array(z.object({ name: z.string(), size: count, path: z.string() })),
  firstContact: time,
  lastContact: time.nullable(),
  silentSeconds: z.number().nullable(),
  clockSkewSeconds: z.number().nullable(),
  checks: checkSummarySchema.nullable(),
});

const seedShape = z.strictObject({
  disk: name,
  path: name,
  format: z.enum(['raw', 'qcow2', 'vmdk', 'device']),
});

export const protectBody = z.strictObject({
  masterTarget: name.optional().describe('Name or id; may be left out where there is one.'),
  processServer: name.optional().describe('Name or id; may be left out where there is one.'),
  windowMs: ms.min(limits.windowLeastMs).optional(),
  consistencyIntervalMs: ms.min(limits.consistencyIntervalLeastMs).optional(),
  seeds: z.array(seedShape).max(limits.disksPerMachine).optional(),
  disks: z.array(name).min(1).max(limits.disksPerMachine).optional().describe('Without it all disks.'),
});

const namedHost = z.object({ id: z.string(), name: z.string() });

export const protectedShape = z.object({
  machine: z.string(),
  id: z.string(),
  epoch: count,
  source: z.string(),
  masterTarget: namedHost,
  processServer: namedHost.extend({ addresses: z.array(z.string()) }),
  disks: z.array(z.object({ name: z.string(), size: count })),
  seeds: z.array(
    seedShape.extend({
      bytes: count.optional().describe('Size of a seed that is new.'),
      storedBytes: count.optional(),
      seconds: z.number().optional().describe('Until what differs is known, at a guess.'),
    }),
  ),
  windowMs: z.number(),
  consistencyIntervalMs: z.number(),
  ended: z.boolean(),
  changed: z.boolean().describe('False when all this was so before.'),
});

export const unprotectedShape = z.object({ machine: z.string(), id: z.string(), changed: z.boolean() });

export const machineShape = z.object({
  id: z.string(),
  name: z.string(),
  source: namedHost,
  disks: z.array(z.object({ name: z.string(), size: count, kind: z.enum(['front', 'scan']) })),
  state: z.string(),
  protected: z.boolean(),
  epoch: count.nullable(),
  masterTarget: namedHost.nullable(),
  processServer: namedHost.nullable(),
  seeds: z.array(seedShape),
  windowMs: z.number().nullable(),
  consistencyIntervalMs: z.number().nullable(),
  firstSeen: time,
});

export const eventShape = z.object({
  id: count,
  time,
  kind: z.string(),
  severity: z.enum(['info', 'warning', 'critical']),
  host: z.string().nullable(),
  machine: z.string().nullable(),
  message: z.string(),
});

export const eventsQuery = z.strictObject({
  after: z.coerce.number().int().nonnegative().optional().describe('Only those above this id.'),
  limit: z.coerce.number().int().positive().max(limits.eventsAnswered).default(100),
});

const machineStatusShape = z.looseObject({
  id: z.string(),
  name: z.string(),
  disks: z.array(z.looseObject({ name: z.string(), size: z.number(), replica: z.string() })),
  state: z.string(),
  detail: z.string().nullable(),
  listen: z.string().nullable(),
  rpoSeconds: z.number().nullable(),
  headLsn: z.number(),
  durableLsn: z.number(),
  appliedLsn: z.number(),
  oldestLsn: z.number().nullable(),
  redoBytes: z.number(),
  undoBytes: z.number(),
  backlog: z.object({ source: z.number(), processServer: z.number(), target: z.number() }),
});

export const fleetShape: z.ZodType<FleetReport> = z.looseObject({
  version: z.string(),
  retention: z.object({ path: z.string(), freeBytes: z.number() }),
  machines: z.array(machineStatusShape),
  retentions: z.array(
    z.looseObject({ host: z.string(), name: z.string(), path: z.string(), freeBytes: z.number() }),
  ),
  hosts: z.object({ ok: count, warning: count, critical: count, waiting: count }),
}) as unknown as z.ZodType<FleetReport>;

export const passphraseShape = z.object({ passphrase: z.string() });
export const hostParams = z.object({ host: text });
export const machineParams = z.object({ machine: text });

export const heartbeatShape = z
  .looseObject({ version: text, time: z.number() })
  .describe('What a host has to say, every two seconds; docs/chain.md, section 2.');
export const heartbeatAnswerShape = z.object({ time: z.number(), revision: count });
export const workQuery = z.strictObject({
  after: z.coerce.number().int().nonnegative().default(0),
  waitMs: z.coerce.number().int().nonnegative().max(limits.workWaitMs).default(0),
  run: z.string().max(limits.controlTextBytes).default(''),
});
export const workShape = z.object({
  revision: count,
  assignments: z.array(z.object({ text: z.string(), signature: z.string() })),
  calls: z.array(
    z.object({
      id: z.string(),
      method: z.enum(['GET', 'POST', 'DELETE']),
      path: z.string(),
      body: z.string().nullable(),
    }),
  ),
});
export const siteShape = siteFactsSchema;
export const certificateBody = z.strictObject({ request: z.string().max(limits.pemBytes) });
export const certificateShape = z.object({ certificate: z.string() });
export const answerParams = z.object({ id: z.uuid() });
