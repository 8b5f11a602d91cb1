// What can be asked over the control socket: each route is one call of the service.
import type { FastifyInstance } from 'fastify';
import { checkTagName } from '../../core/names.ts';
import { streamWork, type Report } from './long-work.ts';
import {
  closeViewsQuery,
  leaseSchema,
  machineSchema,
  parseHandOver,
  parseLock,
  parseOpenIngest,
  parseRecover,
  parseRequest,
  parseView,
  pointsQuery,
  retentionSchema,
  seedsSchema,
  tagSchema,
  unlockQuery,
  verifySchema,
  viewIdSchema,
} from './requests.ts';
import type { MasterTargetService } from './service.ts';

export interface RouteContext {
  service: MasterTargetService;
  /** Aborted when the server closes: long work ends with it. */
  stopping: AbortSignal;
  report: Report;
}

export function addRoutes(app: FastifyInstance, context: RouteContext): void {
  addMachineRoutes(app, context);
  addPointRoutes(app, context);
  addViewRoutes(app, context);
  addLongRoutes(app, context);
}

function addMachineRoutes(app: FastifyInstance, { service }: RouteContext): void {
  const machineOf = (params: unknown): string => parseRequest(machineSchema, params).machine;
  app.get('/v1/status', () => service.status());
  app.post('/v1/ingests', ({ body }) => service.openIngest(parseOpenIngest(body)));
  app.delete('/v1/ingests/:machine', ({ params }) => service.closeIngest(machineOf(params)));
  app.delete('/v1/machines/:machine/pin', ({ params }) => service.unpin(machineOf(params)));
  app.post('/v1/machines/:machine/seeded', ({ params }) => service.seeded(machineOf(params)));
  app.post('/v1/seed-checks', ({ body }) => service.checkSeeds(parseRequest(seedsSchema, body).seeds));
  app.post('/v1/machines/:machine/tags', ({ params, body }) =>
    service.tag(machineOf(params), checkTagName(parseRequest(tagSchema, body).name)),
  );
}

function addPointRoutes(app: FastifyInstance, { service }: RouteContext): void {
  const machineOf = (params: unknown): string => parseRequest(machineSchema, params).machine;
  app.get('/v1/machines/:machine/points', ({ params, query }) =>
    service.points(machineOf(params), { rates: parseRequest(pointsQuery, query).rates === '1' }),
  );
  app.get('/v1/machines/:machine/damage', ({ params }) => service.damage(machineOf(params)));
  app.get('/v1/machines/:machine/retention', ({ params }) => service.retention(machineOf(params), null));
  app.post('/v1/machines/:machine/retention', ({ params, body }) =>
    service.retention(machineOf(params), parseRequest(retentionSchema, body)),
  );
  app.post('/v1/machines/:machine/locks', ({ params, body }) =>
    service.lockPoint({ machine: machineOf(params), ...parseLock(body) }),
  );
  app.delete('/v1/machines/:machine/locks', ({ params, query }) =>
    service.unlockPoint(machineOf(params), parseRequest(unlockQuery, query).at),
  );
}

function addViewRoutes(app: FastifyInstance, { service }: RouteContext): void {
  app.get('/v1/views', () => service.listViews());
  app.post('/v1/views', ({ body }) => service.openView(parseView(body)));
  app.post('/v1/views/:id', ({ params, body }) => {
    const { id } = parseRequest(viewIdSchema, params);
    return service.renewView(id, parseRequest(leaseSchema, body).leaseMs);
  });
  app.delete('/v1/views/:id', ({ params }) => service.closeViews(parseRequest(viewIdSchema, params)));
  app.delete('/v1/machines/:machine/views', ({ params, query }) => {
    const { machine } = parseRequest(machineSchema, params);
    return service.closeViews({ machine, at: parseRequest(closeViewsQuery, query).at ?? null });
  });
}

function addLongRoutes(app: FastifyInstance, { service, stopping, report }: RouteContext): void {
  app.post('/v1/recovery-plans', ({ body }) => service.planRecovery(parseRecover(body)));
  app.post('/v1/recoveries', async ({ body }, reply) => {
    const request = parseRecover(body);
    await streamWork(
      reply,
      (progress, signal) => service.recover(request, progress, signal),
      stopping,
      report,
    );
  });
  app.post('/v1/hand-over-plans', ({ body }) => service.planHandOver(parseHandOver(body)));
  app.post('/v1/hand-overs', async ({ body }, reply) => {
    const request = parseHandOver(body);
    await streamWork(
      reply,
      (progress, signal) => service.handOver(request, progress, signal),
      stopping,
      report,
    );
  });
  app.post('/v1/machines/:machine/verify', async ({ params, body }, reply) => {
    const request = { ...parseRequest(machineSchema, params), ...parseRequest(verifySchema, body) };
    await streamWork(
      reply,
      (progress, signal) => service.verify(request, progress, signal),
      stopping,
      report,
    );
  });
}
