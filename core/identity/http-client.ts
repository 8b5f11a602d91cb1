// An HTTPS client of one server of ours: checked by authority and role, errors with their codes, answers
// bounded.
import type { TLSSocket } from 'node:tls';
import { Pool, type Dispatcher } from 'undici';
import type { z } from 'zod';
import { errorTable, HomewardError, type ErrorCode } from '../errors.ts';
import { limits } from '../limits.ts';
import { formatAddress } from './address.ts';
import { explainConnect } from './explain-connect.ts';
import type { HostIdentity } from './host-identity.ts';
import { connectTls, fetchAuthority, type Expected } from './tls.ts';

export interface HttpClientOptions {
  host: string;
  port: number;
  /** What this side shows, read anew for each connection; null for an operator. */
  identity: HostIdentity | null;
  /**
   * Who has to vouch for the server: the authority (PEM), or its fingerprint. That of `identity` when left
   * out.
   */
  authority?: string | { fingerprint: string } | undefined;
  expect: Expected;
  connections?: number | undefined;
}

export interface JsonCall {
  method: Dispatcher.HttpMethod;
  path: string;
  body?: unknown;
  headers?: Record<string, string> | undefined;
  signal?: AbortSignal | undefined;
  /** To the end of the answer; `limits.serverAnswerMs` when left out. */
  timeoutMs?: number | undefined;
}

export interface HttpClient {
  /** `host:port` */
  readonly address: string;
  /** Everything that undici does; failures come as undici has them. */
  readonly pool: Pool;
  /** A call with JSON in and out. Throws the error that the server answered, or why it could not be asked. */
  json(call: JsonCall): Promise<unknown>;
  /** Ends at once; calls under way fail. */
  close(): Promise<void>;
}

/** It connects at the first call, and again whenever that is needed. */
export function httpClient(options: HttpClientOptions): HttpClient {
  const { host, port, connections = limits.serverConnections } = options;
  const address = formatAddress(host, port);
  const closing = new AbortController();
  const connect = connector(options, closing.signal);
  const pool = new Pool(`https://${address}`, { connect, connections, pipelining: 1 });
  return {
    address,
    pool,
    json: (call) => jsonCall(pool, address, call),
    async close() {
      closing.abort();
      await pool.destroy();
    },
  };
}

/** One JSON call over a dispatcher that talks to `address` alone. */
export async function jsonCall(pool: Dispatcher, address: string, call: JsonCall): Promise<unknown> {
  const { timeoutMs = limits.serverAnswerMs, signal } = call;
  const deadline = AbortSignal.timeout(timeoutMs);
  try {
    const { statusCode, body } = await pool.request({
      origin: `https://${address}`,
      method: call.method,
      path: call.path,
      headers: {
        ...call.headers,
        ...(call.body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      body: call.body === undefined ? null : JSON.stringify(call.body),
      signal: signal === undefined ? deadline : AbortSignal.any([signal, deadline]),
    });
    const answer = parseAnswer(await readBody(body, address), address);
    if (statusCode >= 400) throw errorFrom(answer, address);
    return answer;
  } catch (error) {
    if (signal?.aborted === true) {
      throw new HomewardError('interrupted', `asking ${address} was interrupted`, { cause: error });
    }
    if (deadline.aborted) {
      throw new HomewardError('timed-out', `${address} did not answer within ${timeoutMs} ms`, {
        cause: error,
      });
    }
    throw explainConnect(error, address);
  }
}

/** What was answered, when it is what it should be. Throws 'server-failed'. */
export function checkAnswer<T>(schema: z.ZodType<T>, answer: unknown, address: string): T {
  const { data, error } = schema.safeParse(answer);
  if (error !== undefined) throw notOurs(address, error);
  return data;
}

/**
 * The error that a server sent as `{error: {code, message, hint}}`, also one whose code only a newer version
 * knows.
 */
export function errorFrom(answer: unknown, address: string): HomewardError {
  const error: unknown =
    typeof answer === 'object' && answer !== null && 'error' in answer ? answer.error : null;
  const { code, message, hint } = (error ?? {}) as { code?: unknown; message?: unknown; hint?: unknown };
  if (typeof code !== 'string' || typeof message !== 'string') return notOurs(address);
  const options = typeof hint === 'string' ? { hint } : {};
  if (isErrorCode(code)) return new HomewardError(code, message, options);
  return new HomewardError('server-failed', `${code}: ${message}`, options);
}

function connector(
  options: HttpClientOptions,
  signal: AbortSignal,
): (target: unknown, callback: (...result: [Error, null] | [null, TLSSocket]) => void) => void {
  const { host, port, identity, expect } = options;
  let known: string | undefined;
  const authority = async (): Promise<string | undefined> => {
    if (typeof options.authority !== 'object') return options.authority;
    known ??= await fetchAuthority({ host, port, signal, fingerprint: options.authority.fingerprint });
    return known;
  };
  const open = async (): Promise<TLSSocket> =>
    connectTls({ host, port, identity, expect, signal, authority: await authority() });
  return (_target, callback) => {
    open().then(
      (socket) => callback(null, socket),
      (error: unknown) => callback(explainConnect(error, formatAddress(host, port)), null),
    );
  };
}

async function readBody(body: AsyncIterable<Uint8Array>, address: string): Promise<string> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of body) {
    bytes += part.length;
    if (bytes > limits.serverAnswerBytes) throw notOurs(address);
    parts.push(part);
  }
  return Buffer.concat(parts).toString();
}

function parseAnswer(text: string, address: string): unknown {
  try {
    return text === '' ? null : (JSON.parse(text) as unknown);
  } catch (error) {
    throw notOurs(address, error);
  }
}

const isErrorCode = (code: string): code is ErrorCode => Object.hasOwn(errorTable, code);

const notOurs = (address: string, cause?: unknown): HomewardError =>
  new HomewardError('server-failed', `${address} answered with something that is not an answer of ours`, {
    cause,
  });
