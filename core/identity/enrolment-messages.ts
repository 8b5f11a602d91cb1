// What is said during an enrolment (docs/chain.md, section 1), as schemas for both sides; binary is
// base64url.
import { z } from 'zod';
import { limits } from '../limits.ts';
import { hostIdSchema, hostRoleSchema } from './host-identity.ts';

const text = z.string().min(1).max(256);
const pem = z.string().max(limits.pemBytes);
const binary = (bytes: number): z.ZodType<string> =>
  z.base64url().refine((given) => Buffer.from(given, 'base64url').length === bytes, `has not ${bytes} bytes`);

/** Operators read it: nothing in it may turn, hide or break what stands around it. */
const hostName = text.regex(/^[^\p{C}\p{Zl}\p{Zp}]+$/u, 'holds what cannot be shown');
const version = z.string().regex(/^[0-9A-Za-z.+-]{1,64}$/, 'is no version');

export const enrolmentBeginSchema = z.object({
  version,
  hostId: hostIdSchema,
  role: hostRoleSchema,
  name: hostName,
  nonce: binary(32),
  /** Microseconds since 1970. */
  time: z.number().int().nonnegative(),
});
export type EnrolmentBegin = z.infer<typeof enrolmentBeginSchema>;

export const enrolmentBegunSchema = z.object({
  session: text,
  salt: binary(16),
  nonce: binary(32),
  version,
  time: z.number().int().nonnegative(),
  authority: pem,
});
export type EnrolmentBegun = z.infer<typeof enrolmentBegunSchema>;

export const enrolmentFinishSchema = z.object({ session: text, request: pem, proof: binary(32) });
export type EnrolmentFinish = z.infer<typeof enrolmentFinishSchema>;

export const enrolmentFinishedSchema = z.discriminatedUnion('state', [
  z.object({ state: z.literal('waiting'), reason: text.optional() }),
  z.object({ state: z.literal('enrolled'), certificate: pem, proof: binary(32) }),
]);
export type EnrolmentFinished = z.infer<typeof enrolmentFinishedSchema>;
