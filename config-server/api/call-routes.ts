// Calls of operators to hosts: the control API of a master target or a source, from anywhere.
import { text as readText } from 'node:stream/consumers';
import type { FastifyReply } from 'fastify';
import { HomewardError } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import type { HostCall } from '../../core/registration/messages.ts';
import { z } from 'zod';
import type { Answer } from '../hosts/calls.ts';
import { fleetReport } from '../machines/fleet.ts';
import { hostsForCall, taggedMachine } from '../machines/route-call.ts';
import type { Registry } from '../registry.ts';
import type { ApiContext, App } from './app.ts';
import { errorShape } from './shapes.ts';

const prefix = '/api/v1/call';
const methods = ['GET', 'POST', 'DELETE'] as const;
type Call = Omit<HostCall, 'id'>;

export function addCallRoutes(app: App, { registry, stopping }: ApiContext): void {
  app.route({
    method: [...methods],
    url: `${prefix}/v1/*`,
    bodyLimit: limits.controlBodyBytes,
    schema: {
      tags: ['operators'],
      security: [{ operator: [] }],
      summary: 'A call of the control API, served by the host that it concerns',
      description: 'Tags and resyncs go to the source of the machine, everything else to its master target.',
      params: z.object({ '*': z.string() }),
      response: { default: errorShape },
    },
    async handler(request, reply) {
      const path = request.url.slice(prefix.length);
      const method = methods.find((each) => each === request.method) ?? 'GET';
      if (method === 'GET' && path === '/v1/status') return send(reply, 200, fleetReport(registry));
      const { body } = request;
      const call: Call = { method, path, body: body === undefined ? null : JSON.stringify(body) };
      const route = { method, path: path.split('?')[0] ?? '', machine: machineIn(body) };
      const hosts = hostsForCall(registry, route);
      const gone = new AbortController();
      reply.raw.once('close', () => gone.abort());
      const signal = AbortSignal.any([gone.signal, stopping]);
      await refuseTag(registry, route, body, signal);
      const [only] = hosts;
      if (only !== undefined && hosts.length === 1)
        return stream(reply, await ask(registry, only, call, signal));
      return method === 'GET'
        ? send(reply, 200, await askAll(registry, hosts, call, signal))
        : askEach(registry, { hosts, call, signal }, reply);
    },
  });
}

/**
 * A name is given once: the master target knows those that were. When that cannot be asked now, the source
 * takes the tag all the same.
 */
async function refuseTag(
  registry: Registry,
  { method, path }: { method: string; path: string },
  body: unknown,
  signal: AbortSignal,
): Promise<void> {
  const tagged = method === 'POST' ? taggedMachine(registry, path) : null;
  const { name } = (typeof body === 'object' && body !== null ? body : {}) as { name?: unknown };
  if (tagged === null || typeof name !== 'string') return;
  const points: Call = {
    method: 'GET',
    path: `/v1/machines/${encodeURIComponent(tagged.id)}/points`,
    body: null,
  };
  const soon = AbortSignal.any([signal, AbortSignal.timeout(limits.tagNameAskedMs)]);
  const answer = await ask(registry, tagged.masterTarget, points, soon)
    .then(async ({ body: text }) => JSON.parse(await readText(text)) as { tags?: { name: string }[] })
    .catch(() => null);
  if (answer?.tags?.some((tag) => tag.name === name) === true)
    throw new HomewardError('tag-exists', `${tagged.name} has a tag "${name}"`);
}

function machineIn(body: unknown): string | null {
  const { machine } = (typeof body === 'object' && body !== null ? body : {}) as { machine?: unknown };
  return typeof machine === 'string' ? machine : null;
}

const send = (reply: FastifyReply, status: number, answer: unknown): FastifyReply =>
  reply.status(status).type('application/json').serializer(JSON.stringify).send(answer);

/** The operator that goes away takes the body with it, and the host sees that. */
function stream(reply: FastifyReply, { status, body }: Answer): FastifyReply {
  return reply.status(status).type('application/json').send(body);
}

/** With the name of the host in place of its id when it does not answer. */
async function ask(registry: Registry, hostId: string, call: Call, signal: AbortSignal): Promise<Answer> {
  try {
    return await registry.calls.ask(hostId, call, signal);
  } catch (error) {
    if (!(error instanceof HomewardError) || error.code !== 'host-not-connected') throw error;
    const host = registry.hosts.seen(hostId);
    const who = host === null ? hostId : `${host.role.replace('-', ' ')} ${host.name}`;
    throw new HomewardError('host-not-connected', `the ${who} does not ask for work`, { cause: error });
  }
}

/** The lists of all of them, one behind the other. The first failure is the answer. */
async function askAll(
  registry: Registry,
  hosts: readonly string[],
  call: Call,
  signal: AbortSignal,
): Promise<unknown[]> {
  const lists: unknown[] = [];
  for (const host of hosts) {
    const { status, body } = await ask(registry, host, call, signal);
    const answer: unknown = JSON.parse(await readText(body));
    if (status >= 400 || !Array.isArray(answer)) throw failureIn(answer);
    lists.push(...(answer as unknown[]));
  }
  return lists;
}

/** One after the other, until one has it. */
async function askEach(
  registry: Registry,
  { hosts, call, signal }: { hosts: readonly string[]; call: Call; signal: AbortSignal },
  reply: FastifyReply,
): Promise<FastifyReply> {
  let last: { status: number; answer: unknown } | null = null;
  for (const host of hosts) {
    const { status, body } = await ask(registry, host, call, signal);
    last = { status, answer: JSON.parse(await readText(body)) as unknown };
    if (status !== 404) break;
  }
  return send(reply, last?.status ?? 404, last?.answer ?? null);
}

function failureIn(answer: unknown): HomewardError {
  const { error } = (answer ?? {}) as { error?: { message?: unknown } };
  return new HomewardError('server-failed', `a master target answered: ${String(error?.message)}`);
}
