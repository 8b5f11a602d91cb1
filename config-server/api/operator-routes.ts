// What operators ask and change: hosts, machines, protection, events, passphrase, status.
import { formatTime } from '../../core/clock.ts';
import { limits } from '../../core/limits.ts';
import { microseconds } from '../../core/units.ts';
import { formatMetrics, metricsType } from '../../core/registration/metrics.ts';
import { z } from 'zod';
import { approveHost, listHosts, removeHost } from '../hosts/roster.ts';
import { fleetReport } from '../machines/fleet.ts';
import { protect, unprotect } from '../machines/protect.ts';
import { listMachines } from '../machines/report.ts';
import type { ApiContext, App } from './app.ts';
import {
  errorShape,
  eventShape,
  eventsQuery,
  fleetShape,
  hostParams,
  hostShape,
  machineParams,
  machineShape,
  passphraseShape,
  protectBody,
  protectedShape,
  unprotectedShape,
} from './shapes.ts';

const forOperators = { tags: ['operators'], security: [{ operator: [] }] };
const answers = <T extends z.ZodType>(shape: T): { 200: T; default: typeof errorShape } => ({
  200: shape,
  default: errorShape,
});

export function addOperatorRoutes(app: App, context: ApiContext): void {
  addHostRoutes(app, context);
  addMachineRoutes(app, context);
  addPassphraseRoutes(app, context);
  const { registry } = context;
  app.get(
    '/api/v1/status',
    { schema: { ...forOperators, summary: 'Every machine and how it does', response: answers(fleetShape) } },
    async () => fleetReport(registry),
  );
  app.get(
    '/api/v1/metrics',
    { schema: { ...forOperators, summary: 'The same as metrics, in the text format of Prometheus' } },
    async (_request, reply) => {
      const { machines, retentions: volumes } = fleetReport(registry);
      return reply.type(metricsType).send(await formatMetrics({ machines, volumes }));
    },
  );
  app.get(
    '/api/v1/events',
    {
      schema: {
        ...forOperators,
        summary: 'What has happened; without "after" the newest, oldest first',
        querystring: eventsQuery,
        response: answers(z.object({ events: z.array(eventShape) })),
      },
    },
    async ({ query: { after, limit } }) => {
      const events = await registry.events.list({ after: after ?? null, limit });
      return { events: events.map((event) => ({ ...event, time: formatTime(microseconds(event.time)) })) };
    },
  );
}

function addHostRoutes(app: App, { registry }: ApiContext): void {
  app.get(
    '/api/v1/hosts',
    {
      schema: {
        ...forOperators,
        summary: 'The hosts that have joined, and those that wait',
        response: answers(z.object({ hosts: z.array(hostShape) })),
      },
    },
    async () => ({ hosts: listHosts(registry) }),
  );
  app.post(
    '/api/v1/hosts/:host/approve',
    {
      schema: {
        ...forOperators,
        summary: 'Let a host in, by its entry, id or name',
        params: hostParams,
        response: answers(z.object({ host: hostShape })),
      },
    },
    async ({ params }) => ({ host: await approveHost(registry, params.host) }),
  );
  app.delete(
    '/api/v1/hosts/:host',
    {
      schema: {
        ...forOperators,
        summary: 'Shut a host out, or forget one that waits',
        params: hostParams,
        response: answers(z.object({ host: hostShape })),
      },
    },
    async ({ params }) => ({ host: await removeHost(registry, params.host) }),
  );
}

function addMachineRoutes(app: App, { registry }: ApiContext): void {
  app.get(
    '/api/v1/machines',
    {
      schema: {
        ...forOperators,
        summary: 'The machines whose mobility service has registered',
        response: answers(z.object({ machines: z.array(machineShape) })),
      },
    },
    async () => ({ machines: listMachines(registry) }),
  );
  app.put(
    '/api/v1/machines/:machine/protection',
    {
      bodyLimit: limits.controlBodyBytes,
      schema: {
        ...forOperators,
        summary: 'Protect a machine, or change how; the same again changes nothing',
        params: machineParams,
        body: protectBody,
        response: answers(protectedShape),
      },
    },
    ({ params, body }) => protect(registry, { ...params, ...body }),
  );
  app.delete(
    '/api/v1/machines/:machine/protection',
    {
      schema: {
        ...forOperators,
        summary: 'End the protection of a machine; what there is of it stays',
        params: machineParams,
        response: answers(unprotectedShape),
      },
    },
    ({ params }) => unprotect(registry, params.machine),
  );
}

function addPassphraseRoutes(app: App, { registry, passphrase }: ApiContext): void {
  app.get(
    '/api/v1/passphrase',
    {
      schema: {
        ...forOperators,
        summary: 'The passphrase that hosts enrol with',
        response: answers(passphraseShape),
      },
    },
    async () => ({ passphrase: passphrase.current.passphrase }),
  );
  app.post(
    '/api/v1/passphrase/rotate',
    {
      schema: {
        ...forOperators,
        summary: 'A new passphrase; the old one counts no more, certificates stay',
        response: answers(passphraseShape),
      },
    },
    () =>
      registry.turns.run(async () => {
        const made = await passphrase.rotate();
        await registry.events.add({
          kind: 'passphrase-rotated',
          severity: 'info',
          message: 'there is a new passphrase',
        });
        return { passphrase: made.passphrase };
      }),
  );
}
