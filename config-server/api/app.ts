// What the routes of the configuration server are added to, and what they are given.
import type { FastifyBaseLogger, FastifyInstance, RawServerDefault } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Server } from 'node:https';
import type { Authority } from '../../core/identity/authority.ts';
import type { HostIdentity } from '../../core/identity/host-identity.ts';
import type { EnrolmentDesk } from '../enrolment/enrolment.ts';
import type { Registry } from '../registry.ts';
import type { PassphraseKeeper } from '../secrets.ts';

/** What routes are added to. */
export type App = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  ZodTypeProvider
>;

/** Over TLS, as a whole. */
export type SecureApp = FastifyInstance<
  Server,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  ZodTypeProvider
>;

export interface ApiContext {
  registry: Registry;
  identity: HostIdentity;
  authority: Authority;
  passphrase: PassphraseKeeper;
  enrolment: EnrolmentDesk;
  /** Of operators. */
  token: string;
  /** Aborted when the server stops: long polls and calls end with it. */
  stopping: AbortSignal;
}
