// What hosts ask and tell, each by its own certificate.
import { createHash } from 'node:crypto';
import { finished } from 'node:stream/promises';
import type { FastifyRequest } from 'fastify';
import { HomewardError } from '../../core/errors.ts';
import { issueCertificate, parseRequest } from '../../core/identity/authority.ts';
import { limits } from '../../core/limits.ts';
import type { HostWork } from '../../core/registration/messages.ts';
import { siteFactsPath } from '../../core/registration/site-facts.ts';
import { z } from 'zod';
import { followHeartbeat } from '../hosts/follow.ts';
import { parseHeartbeat } from '../hosts/report-schemas.ts';
import type { KnownHost } from '../hosts/host-list.ts';
import { siteFactsFor } from '../hosts/site-facts.ts';
import type { Registry } from '../registry.ts';
import type { ApiContext, App } from './app.ts';
import {
  answerParams,
  certificateBody,
  certificateShape,
  errorShape,
  heartbeatAnswerShape,
  heartbeatShape,
  siteShape,
  workQuery,
  workShape,
} from './shapes.ts';
import { hostOf } from './who-asks.ts';

const forHosts = { tags: ['hosts'], security: [{ host: [] }] };

export function addHostRoutes(app: App, context: ApiContext): void {
  const { registry } = context;
  app.post(
    '/api/v1/host/heartbeat',
    {
      bodyLimit: limits.serverBodyBytes,
      onRequest: async (request) => ensureModest(request),
      schema: {
        ...forHosts,
        summary: 'A sign of life, and what there is to report',
        body: heartbeatShape,
        response: { 200: heartbeatAnswerShape, default: errorShape },
      },
    },
    async (request) => {
      const host = hostOf(request);
      const heartbeat = parseHeartbeat(request.body, { hostId: host.id, role: host.role });
      await followHeartbeat(registry, host, heartbeat, request.ip);
      return { time: registry.clock.now(), revision: registry.assignments.of(host.id).revision };
    },
  );
  app.post(
    '/api/v1/host/certificate',
    {
      schema: {
        ...forHosts,
        summary: 'A new certificate in place of one that ends',
        body: certificateBody,
        response: { 200: certificateShape, default: errorShape },
      },
    },
    async (request) => ({ certificate: await renew(context, hostOf(request), request.body.request) }),
  );
  addWorkRoute(app, context);
  addSiteRoute(app, context);
}

/** What a host said last is kept in memory, and a mobility service joins without anybody's yes. */
function ensureModest(request: FastifyRequest): void {
  const bytes = Number(request.headers['content-length'] ?? Infinity);
  if (hostOf(request).role !== 'mobility' || bytes <= limits.controlBodyBytes) return;
  const message = `a mobility service reports at most ${limits.controlBodyBytes} bytes, with their number`;
  throw new HomewardError('usage', message);
}

function addWorkRoute(app: App, { registry, stopping }: ApiContext): void {
  app.get(
    '/api/v1/host/work',
    {
      schema: {
        ...forHosts,
        summary: 'Assignments and calls for this host; held while there is nothing new',
        querystring: workQuery,
        response: { 200: workShape, default: errorShape },
      },
    },
    async (request, reply) => {
      const { after, waitMs, run } = request.query;
      const host = hostOf(request);
      const gone = new AbortController();
      reply.raw.once('close', () => gone.abort());
      await waitForWork(
        registry,
        { hostId: host.id, after, waitMs },
        AbortSignal.any([gone.signal, stopping]),
      );
      // It may have been removed, or replaced, while it waited.
      if (registry.hosts.get(host.id)?.keyHash !== host.keyHash) {
        throw new HomewardError('not-allowed', `the host ${host.id} has been removed`);
      }
      const work = gone.signal.aborted ? emptyWork(after) : takeWork(registry, host.id, run);
      reply.raw.once('close', () => {
        if (!reply.raw.writableFinished) registry.calls.giveBack(work.calls);
      });
      return work;
    },
  );
}

function addSiteRoute(app: App, { registry }: ApiContext): void {
  app.get(
    siteFactsPath,
    {
      schema: {
        ...forHosts,
        summary: 'Time, versions, and the process servers that this host works with, for its checks',
        response: { 200: siteShape, default: errorShape },
      },
    },
    async (request) => siteFactsFor(registry, hostOf(request)),
  );
}

async function waitForWork(
  { assignments, calls, desk }: Registry,
  { hostId, after, waitMs }: { hostId: string; after: number; waitMs: number },
  signal: AbortSignal,
): Promise<void> {
  if (assignments.of(hostId).revision > after || calls.waitFor(hostId)) return;
  await desk.wait(hostId, waitMs, signal);
}

function takeWork({ assignments, calls }: Registry, hostId: string, run: string): HostWork {
  const { revision, signed } = assignments.of(hostId);
  return { revision, assignments: signed, calls: calls.take(hostId, run) };
}

const emptyWork = (revision: number): HostWork => ({ revision, assignments: [], calls: [] });

/** Only for the host that asks, and for the key that it has: a key that was stolen is not made another's. */
async function renew({ registry, authority }: ApiContext, host: KnownHost, request: string): Promise<string> {
  const { publicKey } = await parseRequest(request);
  const keyHash = createHash('sha256').update(Buffer.from(publicKey.rawData)).digest('hex');
  if (keyHash !== host.keyHash) {
    throw new HomewardError('not-allowed', 'a certificate is renewed for the same key only', {
      hint: 'For another key remove DATA/identity on the host, and enrol it anew with --passphrase-file.',
    });
  }
  if (registry.hosts.get(host.id)?.keyHash !== keyHash)
    throw new HomewardError('not-allowed', `the host ${host.id} has been removed`);
  return issueCertificate(authority, request, { hostId: host.id, role: host.role });
}

/** By itself: its body is not read into memory, and may take as long as the work that it tells of. */
export function addAnswerRoute(app: App, { registry }: ApiContext): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, _body, done) => done(null));
  app.post(
    '/api/v1/host/answers/:id',
    {
      schema: {
        ...forHosts,
        summary: 'The answer to a call: its status in the header homeward-status, its body as it comes',
        params: answerParams,
        headers: z.looseObject({ 'homeward-status': z.coerce.number().int().min(200).max(599) }),
        response: { 200: z.strictObject({}), default: errorShape },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const body = request.raw;
      const ended = finished(body, { writable: false });
      ended.catch(() => undefined);
      const status = request.headers['homeward-status'];
      if (!registry.calls.answer(hostOf(request).id, id, { status, body })) {
        // What still comes is not read.
        reply.header('connection', 'close');
        throw new HomewardError('interrupted', 'nobody waits for this answer any more');
      }
      await ended;
      return {};
    },
  );
}
