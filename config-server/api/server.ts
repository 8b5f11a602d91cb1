// The one port of the configuration server: HTTPS, with or without the certificate of a host.
import swagger from '@fastify/swagger';
import fastify, { type FastifyRequest } from 'fastify';
import {
  jsonSchemaTransform,
  serializerCompiler,
  validatorCompiler,
  type ZodTypeProvider,
} from 'fastify-type-provider-zod';
import { endsConnections } from '../../core/end-connections.ts';
import { serverTls } from '../../core/identity/tls.ts';
import { limits } from '../../core/limits.ts';
import { z } from 'zod';
import type { ApiContext, App, SecureApp } from './app.ts';
import { addCallRoutes } from './call-routes.ts';
import { addEnrolmentRoutes } from './enrolment-routes.ts';
import { addAnswerRoute, addHostRoutes } from './host-routes.ts';
import { addOperatorRoutes } from './operator-routes.ts';
import { handleErrors } from './report-error.ts';
import { checkHost, checkOperator } from './who-asks.ts';

/** Ready to listen. */
export async function createApp(context: ApiContext): Promise<SecureApp> {
  const { registry, identity } = context;
  const app = fastify({
    https: { ...serverTls(identity, 'asked'), connectionsCheckingInterval: limits.connectionsCheckMs },
    // Of anybody, so it is small; routes behind a check of who asks say how much they take.
    bodyLimit: limits.strangerBodyBytes,
    // Answers of hosts may take hours; other bodies have a deadline of their own, below.
    requestTimeout: 0,
    keepAliveTimeout: limits.controlRequestMs,
    routerOptions: { maxParamLength: limits.controlTextBytes },
    forceCloseConnections: true, // but for handshakes, below
  }).withTypeProvider<ZodTypeProvider>();
  const endConnections = endsConnections(app.server);
  app.addHook('preClose', async () => endConnections());
  app.server.maxConnections = limits.configConnections;
  app.server.headersTimeout = limits.controlRequestMs;
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  handleErrors(app, registry.log);
  limitBodyTime(app);
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Homeward configuration server',
        description: 'Hosts, machines, protection, status, and calls to hosts. docs/chain.md explains it.',
        version: registry.version,
      },
      components: {
        securitySchemes: {
          operator: { type: 'http', scheme: 'bearer', description: 'The token of operator.json.' },
          host: mutualTls,
        },
      },
    },
    transform: jsonSchemaTransform,
  });
  await app.register(async (plain) => {
    const scope: App = plain.withTypeProvider<ZodTypeProvider>();
    addEnrolmentRoutes(scope, context);
    scope.get('/api/v1/openapi.json', { schema: openapiSchema }, async () => ({ ...app.swagger() }));
  });
  await app.register(async (plain) => {
    const scope: App = plain.withTypeProvider<ZodTypeProvider>();
    scope.addHook('onRequest', async (request) => checkHost(request, registry));
    addHostRoutes(scope, context);
  });
  await app.register(async (plain) => {
    const scope: App = plain.withTypeProvider<ZodTypeProvider>();
    scope.addHook('onRequest', async (request) => checkHost(request, registry));
    addAnswerRoute(scope, context);
  });
  await app.register(async (plain) => {
    const scope: App = plain.withTypeProvider<ZodTypeProvider>();
    scope.addHook('onRequest', async (request) => checkOperator(request, context.token));
    addOperatorRoutes(scope, context);
    addCallRoutes(scope, context);
  });
  return app;
}

/** OpenAPI 3.1 has it; the types of the plugin do not know it yet. */
const mutualTls = {
  type: 'mutualTLS',
  description: 'The certificate that a host got when it enrolled.',
} as never;

const openapiSchema = {
  tags: ['about'],
  summary: 'This description',
  response: { 200: z.record(z.string(), z.unknown()) },
};

/**
 * A request whose body does not come ends with its connection, also one that nobody here serves. The route
 * that streams counts as having its body at once.
 */
function limitBodyTime(app: SecureApp): void {
  const timers = new WeakMap<FastifyRequest, NodeJS.Timeout>();
  const clear = async (request: FastifyRequest): Promise<void> => clearTimeout(timers.get(request));
  app.addHook('onRequest', async (request) => {
    timers.set(request, setTimeout(() => request.raw.destroy(), limits.controlRequestMs).unref());
  });
  // What still comes of a body behind the answer is not waited for.
  app.addHook('onSend', async (request, reply) => {
    if (!request.raw.complete) reply.header('connection', 'close');
  });
  // By then the body is there.
  app.addHook('preValidation', clear);
  app.addHook('onResponse', clear);
}
