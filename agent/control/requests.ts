// The shapes that the control socket accepts, as zod schemas, with one clear sentence for what does not fit.
import { z } from 'zod';
import { HomewardError } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import {
  checkDiskName,
  checkDiskSize,
  checkMachineName,
  checkTagName,
  parseListen,
} from '../../core/names.ts';
import { refuseIdleOptions } from './recover-options.ts';
import type {
  DiskRequest,
  HandOverRequest,
  LockRequest,
  OpenIngestRequest,
  RecoverRequest,
  RecoverTarget,
  RetentionChange,
  VerifyRequest,
  ViewRequest,
} from './service.ts';

const text = z.string().min(1).max(limits.controlTextBytes);

const disk: z.ZodType<DiskRequest> = z.strictObject({
  name: text,
  sizeBytes: z.number().int().positive(),
  device: text.optional(),
});

const openIngestSchema: z.ZodType<OpenIngestRequest> = z.strictObject({
  machine: text,
  disks: z.array(disk).min(1).max(limits.disksPerMachine),
  listen: text,
  seeding: z.boolean(),
});

export const tagSchema = z.strictObject({ name: z.string() });

export const seedsSchema = z.strictObject({
  seeds: z
    .array(
      z.strictObject({
        disk: text,
        path: text.startsWith('/'),
        format: z.enum(['raw', 'qcow2', 'vmdk', 'device']),
        size: z.number().int().positive(),
      }),
    )
    .max(limits.disksPerMachine),
});

export const machineSchema = z.strictObject({ machine: text });

export const viewIdSchema = z.strictObject({ id: text });

export const leaseSchema = z.strictObject({ leaseMs: z.number().positive() });

const viewSchema: z.ZodType<ViewRequest> = z.strictObject({
  machine: text,
  at: text,
  listen: text,
  writable: z.boolean(),
  leaseMs: z.number().positive().nullable(),
  scratchBytes: z.number().int().positive().max(Number.MAX_SAFE_INTEGER).optional(),
  tls: z.boolean().optional(),
  temporary: z.boolean().optional(),
});

export const closeViewsQuery = z.strictObject({ at: text.optional() });

export const pointsQuery = z.strictObject({ rates: z.enum(['0', '1']).optional() });

const amount = z.number().nonnegative().max(Number.MAX_SAFE_INTEGER).nullable().optional();

export const retentionSchema: z.ZodType<RetentionChange> = z.strictObject({
  windowMs: amount,
  keep: z.string().max(limits.controlTextBytes).nullable().optional(),
  maxBytes: amount,
  floorMs: amount,
});

const lockSchema: z.ZodType<Omit<LockRequest, 'machine'>> = z.strictObject({
  at: text,
  until: text,
  name: text.nullable(),
});

export const unlockQuery = z.strictObject({ at: text });

/** A lock's name is shown like a tag's, so it is made like one. */
export function parseLock(value: unknown): Omit<LockRequest, 'machine'> {
  const request = parseRequest(lockSchema, value);
  if (request.name !== null) checkTagName(request.name);
  return request;
}

const target: z.ZodType<RecoverTarget> = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.enum(['raw', 'qcow2', 'vmdk']), directory: text }),
  z.strictObject({
    kind: z.literal('block'),
    devices: z
      .array(z.strictObject({ disk: text, device: text }))
      .min(1)
      .max(limits.disksPerMachine),
  }),
  z.strictObject({ kind: z.literal('in-place') }),
]);

const recoverSchema: z.ZodType<RecoverRequest> = z.strictObject({
  machine: text,
  at: text,
  target,
  overwrite: z.array(text).max(limits.disksPerMachine),
  fresh: z.boolean().optional(),
  verify: z.boolean().optional(),
  allowDamaged: z.boolean().optional(),
  count: z.boolean().optional(),
});

/** Throws 'usage' also where an option does nothing for the target. */
export function parseRecover(value: unknown): RecoverRequest {
  const request = parseRequest(recoverSchema, value);
  refuseIdleOptions(request);
  return request;
}

const handOverSchema: z.ZodType<HandOverRequest> = z.strictObject({
  machine: text,
  to: z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('run'), listen: text }),
    z.strictObject({ kind: z.literal('release'), name: text.max(limits.tagNameCharacters) }),
  ]),
  at: text.optional(),
  lsn: z.number().int().nonnegative().optional(),
  sourceIsOff: z.boolean().optional(),
  allowDamaged: z.boolean().optional(),
});

/** To whom it is given is shown wherever the machine is, and so has to be printable. */
export function parseHandOver(value: unknown): HandOverRequest {
  const request = parseRequest(handOverSchema, value);
  if (request.to.kind === 'run') parseListen(request.to.listen);
  else if (/[\p{C}\p{Zl}\p{Zp}]/u.test(request.to.name) || request.to.name.trim() === '')
    throw new HomewardError('usage', '--release does not name anybody in printable characters');
  return request;
}

const part = z
  .strictObject({ n: z.number().int().positive(), of: z.number().int().positive() })
  .refine(({ n, of }) => n <= of, 'n may not be above t');

export const verifySchema: z.ZodType<Omit<VerifyRequest, 'machine'>> = z.strictObject({
  part: part.nullable(),
  forMs: z.number().positive().nullable(),
});

/** Names become parts of paths and export names, so they are looked at before anything is done with them. */
export function parseOpenIngest(value: unknown): OpenIngestRequest {
  const request = parseRequest(openIngestSchema, value);
  checkMachineName(request.machine);
  parseListen(request.listen);
  for (const { name, sizeBytes } of request.disks) {
    checkDiskName(name);
    checkDiskSize(sizeBytes);
  }
  const names = request.disks.map((each) => each.name);
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice !== undefined) throw new HomewardError('usage', `the disk "${twice}" is there twice`);
  return request;
}

export function parseView(value: unknown): ViewRequest {
  const request = parseRequest(viewSchema, value);
  parseListen(request.listen);
  return request;
}

/** What people call the fields of requests whose size can be wrong. */
const words: Readonly<Record<string, string>> = {
  machine: 'the name of the machine',
  id: 'the id of the view',
  at: '--at',
  listen: '--listen',
  disks: '--disk',
  leaseMs: '--for',
  forMs: '--for',
  until: '--until',
  name: '--name',
  windowMs: '--window',
  keep: '--keep',
  maxBytes: '--max-size',
  floorMs: '--floor',
  part: '--part',
  target: '--to',
  overwrite: '--overwrite-disk',
};

/** What is too small or too large, in the words of the command line; null for everything else. */
function amountError(issue: z.core.$ZodIssue): string | null {
  const word = words[String(issue.path[0] ?? '')];
  if (word === undefined) return null;
  if (issue.code === 'too_small') {
    if (issue.origin === 'string') return `${word} is empty`;
    return issue.origin === 'array' ? `${word} is missing` : `${word} is not above 0`;
  }
  if (issue.code !== 'too_big') return null;
  if (issue.origin === 'string') return `${word} has more than ${issue.maximum} characters`;
  return issue.origin === 'array'
    ? `${word} is given more than ${issue.maximum} times`
    : `${word} is too large`;
}

/** `value` as the schema wants it, or a `usage` error that names the first place that does not fit. */
export function parseRequest<T>(schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const amount = issue === undefined ? null : amountError(issue);
  if (amount !== null) throw new HomewardError('usage', amount);
  const place = issue?.path.map(String).join('.') ?? '';
  const what = issue?.message ?? 'it does not fit';
  throw new HomewardError('usage', `the request is not valid: ${place === '' ? '' : `${place}: `}${what}`);
}
