// Calls of operators that reach a host through the configuration server: served, and the answer streamed
// back.
import { Readable } from 'node:stream';
import { errorTable, HomewardError, toHomewardError } from '../errors.ts';
import type { HttpClient } from '../identity/http-client.ts';
import { limits } from '../limits.ts';
import type { Log } from '../log.ts';
import type { HostCall } from './messages.ts';
import { unlessAborted } from './pause.ts';

export interface CallAnswer {
  status: number;
  body: AsyncIterable<Uint8Array> | string;
}

export type ServeCall = (call: HostCall) => Promise<CallAnswer>;

/** At most `limits.callsPerHost` at a time; a call that comes twice is served once. */
export class CallDesk {
  readonly #client: HttpClient;
  readonly #serve: ServeCall;
  readonly #log: Log;
  readonly #signal: AbortSignal;
  readonly #running = new Map<string, Promise<void>>();
  /** Ids of late, oldest first. */
  readonly #taken = new Set<string>();

  constructor(client: HttpClient, serve: ServeCall, log: Log, signal: AbortSignal) {
    this.#client = client;
    this.#serve = serve;
    this.#log = log;
    this.#signal = signal;
  }

  take(calls: readonly HostCall[]): void {
    for (const call of calls) {
      if (this.#taken.has(call.id)) continue;
      this.#remember(call.id);
      const serve = this.#running.size < limits.callsPerHost ? this.#serve : refuseCall;
      const work = this.#answer(call, serve).finally(() => this.#running.delete(call.id));
      this.#running.set(call.id, work);
    }
  }

  /** Resolves when no answer is under way any more; the signal has to be aborted before. */
  async ended(): Promise<void> {
    await Promise.all(this.#running.values());
  }

  async #answer(call: HostCall, serve: ServeCall): Promise<void> {
    try {
      const { status, body } = await this.#served(call, serve);
      await this.#send(call.id, status, body);
    } catch (error) {
      if (this.#signal.aborted) return;
      this.#log.warn('call-not-answered', { method: call.method, path: call.path, error: asError(error) });
    }
  }

  async #served(call: HostCall, serve: ServeCall): Promise<CallAnswer> {
    try {
      return await unlessAborted(serve(call), this.#signal);
    } catch (error) {
      const known = toHomewardError(error);
      if (known.code === 'bug') this.#log.error('call-failed', { path: call.path, error: known });
      return { status: errorTable[known.code].http, body: JSON.stringify({ error: known }) };
    }
  }

  /** Long work reports as it goes, so that only its own end or the signal ends the wait. */
  async #send(id: string, status: number, body: CallAnswer['body']): Promise<void> {
    const { body: rest } = await this.#client.pool.request({
      origin: `https://${this.#client.address}`,
      method: 'POST',
      path: `/api/v1/host/answers/${encodeURIComponent(id)}`,
      headers: { 'homeward-status': String(status), 'content-type': 'application/octet-stream' },
      body: typeof body === 'string' ? body : Readable.from(body, { objectMode: false }),
      headersTimeout: 0,
      signal: this.#signal,
    });
    // The server says 4xx when the operator has gone; that is no news for anybody.
    await rest.dump();
  }

  #remember(id: string): void {
    this.#taken.add(id);
    if (this.#taken.size <= limits.callsRemembered) return;
    for (const oldest of this.#taken) {
      this.#taken.delete(oldest);
      return;
    }
  }
}

function refuseCall(): Promise<CallAnswer> {
  const message = `the host serves ${limits.callsPerHost} calls already`;
  return Promise.reject(new HomewardError('too-many-attempts', message));
}

const asError = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)));
