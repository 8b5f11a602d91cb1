// The JSON bodies of the chain, checked: nothing that a peer says is believed to have a shape.
import { z } from 'zod';
import { errorTable, HomewardError, type ErrorCode } from '../errors.ts';
import { limits } from '../limits.ts';
import { broken } from './frame.ts';
import type { Head, Hello, Note, Relay, SyncProgress, Welcome } from './messages.ts';

const natural = z.number().int().nonnegative();
const text = z.string().max(4096);
const disk = natural.max(limits.disksPerMachine - 1);

const helloBase = {
  version: text,
  assignment: z.object({ text: z.string().max(limits.chainJsonBytes), signature: text }),
  compress: z.boolean(),
  generation: natural,
};

export const helloSchema: z.ZodType<Hello> = z.discriminatedUnion('role', [
  z.object({
    role: z.literal('source'),
    ...helloBase,
    head: natural,
    heldFrom: natural,
    target: z.exactOptional(natural),
  }),
  z.object({ role: z.literal('target'), ...helloBase, durable: natural, applied: natural }),
  z.object({ role: z.literal('again'), ...helloBase, from: natural.min(1), to: natural }),
]);

export const welcomeSchema: z.ZodType<Welcome> = z.object({
  compress: z.boolean(),
  generation: natural,
  spooled: natural,
  target: natural,
  applied: natural,
  oldest: natural,
});

const syncProgress: z.ZodType<SyncProgress> = z.object({
  reason: text,
  phase: z.enum(['waiting', 'comparing', 'copying', 'ending']),
  doneBytes: natural,
  totalBytes: natural,
  differentBytes: natural.nullable(),
  secondsLeft: z.number().nonnegative().nullable(),
  ahead: natural.nullable(),
});

export const headSchema: z.ZodType<Head> = z.object({
  lsn: natural,
  time: natural,
  state: z.enum([
    'ok',
    'initial-sync',
    'resync',
    'waiting-for-sync',
    'scan',
    'paused',
    'overflow',
    'unprotected',
  ]),
  backlogBytes: natural,
  dirtyBytes: natural,
  sync: syncProgress.nullable(),
  processServerBytes: z.exactOptional(natural),
  scan: z.exactOptional(
    z
      .object({
        lastTime: natural.nullable(),
        problem: z.exactOptional(text.nullable()),
        only: z.exactOptional(z.boolean()),
      })
      .nullable(),
  ),
});

const extent = { sync: natural, disk, start: natural, end: natural };

export const relaySchema: z.ZodType<Relay> = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('hashes-wanted'), ...extent }),
  z.object({ kind: z.literal('hashes'), ...extent, hashes: z.base64() }),
  z.object({ kind: z.literal('hashes-failed'), ...extent, message: text }),
]);

export const noteSchema: z.ZodType<Note> = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('room'), state: z.enum(['ok', 'slow', 'full']) }),
  z.object({ kind: z.literal('resync'), reason: text, full: z.boolean() }),
  z.object({ kind: z.literal('lost'), from: natural, to: natural, reason: text }),
  z.object({ kind: z.literal('sync-wanted') }),
  z.object({ kind: z.literal('sync-done') }),
  z.object({ kind: z.literal('sync-place'), ahead: natural }),
  z.object({ kind: z.literal('again-end'), from: natural, to: natural }),
]);

const errorSchema = z.object({ code: text, message: text, hint: text });

/** A body that is what `schema` says; throws 'chain-broken' when it is not. */
export function parseBody<T>(schema: z.ZodType<T>, body: Buffer, name: string): T {
  let value: unknown;
  try {
    value = JSON.parse(body.toString('utf8'));
  } catch (error) {
    throw broken(`a ${name} is no JSON`, error);
  }
  const result = schema.safeParse(value);
  if (!result.success) throw broken(`a ${name} has another form: ${firstIssue(result.error)}`, result.error);
  return result.data;
}

/** What the peer ended the connection with; a code that is not known here is 'chain-broken'. */
export function parseError(body: Buffer): HomewardError {
  const { code, message, hint } = parseBody(errorSchema, body, 'error');
  if (isErrorCode(code)) return new HomewardError(code, message, { hint });
  return new HomewardError('chain-broken', `${message} (${code})`, { hint });
}

const isErrorCode = (code: string): code is ErrorCode => Object.hasOwn(errorTable, code);

function firstIssue(error: z.ZodError): string {
  const [issue] = error.issues;
  return issue === undefined ? '' : `${issue.path.join('.')}: ${issue.message}`;
}
