// The control socket of the master target: HTTP over a Unix socket, answered by the daemon's service.
import fastify, { type FastifyError, type FastifyInstance } from 'fastify';
import { HomewardError, toHomewardError } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import { listenError } from '../../core/listen-error.ts';
import type { Log } from '../../core/log.ts';
import { ensureRunDirectory } from '../../core/run-directory.ts';
import { addRoutes } from './routes.ts';
import type { MasterTargetService } from './service.ts';
import { checkSocketPath, removeStaleSocket, shareSocket } from './socket-file.ts';

export interface ControlServer {
  /** Refuses new calls, aborts long work, resolves when every call has ended and the socket file is gone. */
  close(): Promise<void>;
}

export interface ControlServerOptions {
  /** Where the socket file goes; at most `limits.unixPathBytes`. */
  path: string;
  service: MasterTargetService;
  log: Log;
}

/**
 * Serves `service` under /v1. The caller holds the lock of the data directory, so a socket file that nobody
 * answers on is a dead daemon's and is replaced. Fails with `usage`, `conflict`, `already-running`, an errno.
 */
export async function startControlServer({
  path,
  service,
  log,
}: ControlServerOptions): Promise<ControlServer> {
  checkSocketPath(path);
  ensureRunDirectory(path);
  await removeStaleSocket(path);
  const stopping = new AbortController();
  const app = createApp(log);
  addRoutes(app, { service, stopping: stopping.signal, report: (error) => reportError(error, log) });
  await app.listen({ path }).catch((error: unknown) => {
    throw listenError({ kind: 'unix', path }, error);
  });
  shareSocket(path, log);
  return {
    async close() {
      stopping.abort(new HomewardError('interrupted', 'the master target is stopping'));
      await app.close();
    },
  };
}

function createApp(log: Log): FastifyInstance {
  const app = fastify({
    bodyLimit: limits.controlBodyBytes,
    requestTimeout: limits.controlRequestMs,
    routerOptions: { maxParamLength: limits.controlTextBytes },
    forceCloseConnections: 'idle',
  });
  app.server.maxConnections = limits.controlConnections;
  app.setErrorHandler<FastifyError>((error, _request, reply) => {
    const reported = reportError(error, log);
    return reply.status(reported.http).send({ error: reported });
  });
  app.setNotFoundHandler((request, reply) => {
    const error = new HomewardError(
      'not-in-this-version',
      `this daemon has no ${request.method} ${request.url}`,
    );
    return reply.status(error.http).send({ error });
  });
  // A call without a body is sent as JSON by some clients all the same.
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) => {
    try {
      done(null, body === '' ? undefined : JSON.parse(String(body)));
    } catch {
      done(new HomewardError('usage', 'the body of the request is not JSON'));
    }
  });
  return app;
}

/** What goes out for a failure. Our own bugs are logged with their stack; the rest is the caller's news. */
function reportError(error: unknown, log: Log): HomewardError {
  if (isFastifyError(error) && error.statusCode !== undefined && error.statusCode < 500) {
    return new HomewardError('usage', `the request is not valid: ${error.message}`);
  }
  const reported = toHomewardError(error);
  if (reported.code === 'bug') {
    log.error('control-call-failed', {
      message: reported.message,
      stack: error instanceof Error ? error.stack : undefined,
    });
  }
  return reported;
}

function isFastifyError(error: unknown): error is FastifyError {
  return error instanceof Error && 'code' in error && String(error.code).startsWith('FST_');
}
