// Serves a call that came by the configuration server as if it had come over the control socket: through
// that very socket.
import { Agent } from 'undici';
import { HomewardError } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import type { HostCall } from '../../core/registration/messages.ts';

export interface CallServer {
  /** The answer of the control API, as it comes; long work goes on for as long as it is read. */
  serve(call: HostCall): Promise<{ status: number; body: AsyncIterable<Uint8Array> }>;
  close(): Promise<void>;
}

export function callServer(socketPath: string): CallServer {
  const agent = new Agent({
    connect: { socketPath },
    connections: limits.callsPerHost,
    pipelining: 0,
    // What can be asked for may take hours; the daemon's own end, or the operator's, ends it.
    headersTimeout: 0,
    bodyTimeout: 0,
  });
  return {
    async serve({ method, path, body }) {
      if (!path.startsWith('/v1/')) throw new HomewardError('usage', `a master target serves no ${path}`);
      const answer = await agent.request({
        origin: 'http://control',
        method,
        path,
        ...(body === null ? {} : { body, headers: { 'content-type': 'application/json' } }),
      });
      return { status: answer.statusCode, body: answer.body };
    },
    close: () => agent.destroy(),
  };
}
