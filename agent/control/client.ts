// The control API from the other side: the daemon's service as if it were here, over whatever way.
import { Agent, type Dispatcher } from 'undici';
import { errnoOf, errorTable, HomewardError, type ErrorCode } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import { checkSocketPath } from './socket-file.ts';
import type { MasterTargetService, OnProgress } from './service.ts';

/** Whoever asks a master target needs its words, and nothing else of it. */
export type * from './service.ts';
export { refuseIdleOptions } from './recover-options.ts';

export interface ControlClient extends MasterTargetService {
  close(): Promise<void>;
}

/** One request of the control API. */
export interface ControlCall {
  method: Dispatcher.HttpMethod;
  /** `/v1/…` */
  path: string;
  body?: unknown;
}

export interface ControlWait {
  signal?: AbortSignal;
  /** 0: no deadline. */
  headersTimeout: number;
  bodyTimeout: number;
}

/** How requests reach the daemon. */
export interface ControlTransport {
  send(call: ControlCall, wait: ControlWait): Promise<Dispatcher.ResponseData>;
  /** A failure to talk, in words that name who was asked; everything else as it is. */
  explain(error: unknown): unknown;
  close(): Promise<void>;
}

interface LongCall extends ControlCall {
  progress: OnProgress;
  signal: AbortSignal;
}

/** A client of the daemon behind `socketPath`. It connects at the first call. */
export function connectControl(socketPath: string): ControlClient {
  checkSocketPath(socketPath);
  const agent = new Agent({ connect: { socketPath } });
  return controlClient({
    // The origin only has to be a URL; the socket decides who answers.
    send: ({ method, path, body }, wait) =>
      agent.request({ origin: 'http://master-target', method, path, ...jsonBody(body), ...wait }),
    explain: (error) => explain(error, socketPath),
    close: () => agent.destroy(),
  });
}

/** The headers and the body of a request with JSON in it, or without any. */
export function jsonBody(body: unknown): { headers?: Record<string, string>; body?: string } {
  if (body === undefined) return {};
  return { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
}

/** The service at the other end of `transport`. */
export function controlClient(transport: ControlTransport): ControlClient {
  const call = <T>(request: ControlCall): Promise<T> => callOnce<T>(transport, request);
  const work = <T>(request: LongCall): Promise<T> => callLong<T>(transport, request);
  const at = (machine: string): string => `/v1/machines/${encodeURIComponent(machine)}`;
  return {
    openIngest: (request) => call({ method: 'POST', path: '/v1/ingests', body: request }),
    seeded: (machine) => call({ method: 'POST', path: `${at(machine)}/seeded` }),
    checkSeeds: (seeds) => call({ method: 'POST', path: '/v1/seed-checks', body: { seeds } }),
    closeIngest: (machine) => call({ method: 'DELETE', path: `/v1/ingests/${encodeURIComponent(machine)}` }),
    tag: (machine, name) => call({ method: 'POST', path: `${at(machine)}/tags`, body: { name } }),
    status: () => call({ method: 'GET', path: '/v1/status' }),
    points: (machine, options) =>
      call({ method: 'GET', path: `${at(machine)}/points${options?.rates === true ? '?rates=1' : ''}` }),
    retention: (machine, change) =>
      change === null
        ? call({ method: 'GET', path: `${at(machine)}/retention` })
        : call({ method: 'POST', path: `${at(machine)}/retention`, body: change }),
    unpin: (machine) => call({ method: 'DELETE', path: `${at(machine)}/pin` }),
    lockPoint: ({ machine, ...body }) => call({ method: 'POST', path: `${at(machine)}/locks`, body }),
    unlockPoint: (machine, when) =>
      call({ method: 'DELETE', path: `${at(machine)}/locks?at=${encodeURIComponent(when)}` }),
    openView: (request) => call({ method: 'POST', path: '/v1/views', body: request }),
    listViews: () => call({ method: 'GET', path: '/v1/views' }),
    renewView: (id, leaseMs) => call({ method: 'POST', path: viewsPath({ id }), body: { leaseMs } }),
    closeViews: (which) => call({ method: 'DELETE', path: viewsPath(which) }),
    planRecovery: (request) => call({ method: 'POST', path: '/v1/recovery-plans', body: request }),
    recover: (request, progress, signal) =>
      work({ method: 'POST', path: '/v1/recoveries', body: request, progress, signal }),
    planHandOver: (request) => call({ method: 'POST', path: '/v1/hand-over-plans', body: request }),
    handOver: (request, progress, signal) =>
      work({ method: 'POST', path: '/v1/hand-overs', body: request, progress, signal }),
    verify: ({ machine, ...body }, progress, signal) =>
      work({ method: 'POST', path: `${at(machine)}/verify`, body, progress, signal }),
    damage: (machine) => call({ method: 'GET', path: `${at(machine)}/damage` }),
    close: () => transport.close(),
  };
}

function viewsPath(which: Parameters<MasterTargetService['closeViews']>[0]): string {
  if ('id' in which) return `/v1/views/${encodeURIComponent(which.id)}`;
  const query = which.at === null ? '' : `?at=${encodeURIComponent(which.at)}`;
  return `/v1/machines/${encodeURIComponent(which.machine)}/views${query}`;
}

async function callOnce<T>(transport: ControlTransport, request: ControlCall): Promise<T> {
  const ms = limits.controlAnswerMs;
  try {
    const { statusCode, body } = await transport.send(request, { headersTimeout: ms, bodyTimeout: ms });
    const text = await body.text();
    const answer: unknown = text === '' ? null : JSON.parse(text);
    if (statusCode >= 400) throw errorFrom(answer);
    return answer as T;
  } catch (error) {
    throw transport.explain(error);
  }
}

/** Only the daemon's own end ends the wait for long work, so there is no deadline, but the signal. */
async function callLong<T>(transport: ControlTransport, request: LongCall): Promise<T> {
  const { progress, signal, ...call } = request;
  try {
    signal.throwIfAborted();
    const { body } = await transport.send(call, { signal, headersTimeout: 0, bodyTimeout: 0 });
    let rest = '';
    for await (const chunk of body.setEncoding('utf8') as AsyncIterable<string>) {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const message = JSON.parse(line) as LongMessage<T>;
        if ('progress' in message) progress(message.progress);
        else if ('result' in message) return message.result;
        else throw errorFrom(message);
      }
    }
    // What went wrong before the work began comes as one document, without the end of a line.
    if (rest !== '') throw errorFrom(JSON.parse(rest));
    throw new HomewardError('daemon-unreachable', 'the master target ended the answer too early');
  } catch (error) {
    if (signal.aborted) throw new HomewardError('interrupted', 'the work was interrupted', { cause: error });
    throw transport.explain(error);
  }
}

type LongMessage<T> = { progress: Parameters<OnProgress>[0] } | { result: T } | { error: unknown };

/** The error that the daemon sent, also one whose code only a newer version knows. */
function errorFrom(answer: unknown): HomewardError {
  const error: unknown =
    typeof answer === 'object' && answer !== null && 'error' in answer ? answer.error : null;
  const { code, message, hint } = (error ?? {}) as { code?: unknown; message?: unknown; hint?: unknown };
  if (typeof code !== 'string' || typeof message !== 'string' || typeof hint !== 'string') {
    return new HomewardError('bug', 'the master target answered with something that is not an error of ours');
  }
  if (isErrorCode(code)) return new HomewardError(code, message, { hint });
  return new HomewardError('bug', `${code}: ${message}`, { hint });
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(errorTable, code);
}

const unreachable: Record<string, string> = {
  ENOENT: 'there is no such socket',
  ECONNREFUSED: 'nobody listens on it',
  ENOTDIR: 'a part of the path is not a directory',
  ENOTSOCK: 'it is not a socket',
};

/** A failure to talk, in words that name the socket; everything else as it is. */
function explain(error: unknown, socketPath: string): unknown {
  if (error instanceof HomewardError) return error;
  const errno = errnoOf(error);
  if (errno === 'EACCES' || errno === 'EPERM') {
    return new HomewardError(
      'daemon-unreachable',
      `no master target answers on ${socketPath}: permission denied`,
      { cause: error, hint: 'Run it as root, or as a member of the group homeward.' },
    );
  }
  const why = errno === null ? messageOf(error) : (unreachable[errno] ?? errno);
  return new HomewardError('daemon-unreachable', `no master target answers on ${socketPath}: ${why}`, {
    cause: error,
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
