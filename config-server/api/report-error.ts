// Failures as they go out: `{error: {code, message, hint}}`, with the HTTP status of their code.
import type { FastifyError, FastifyInstance } from 'fastify';
import { HomewardError, toHomewardError } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';

export function handleErrors(app: FastifyInstance, log: Log): void {
  app.setErrorHandler<FastifyError>((error, request, reply) => {
    const reported = reportError(error, log, request.routeOptions.url ?? '');
    return reply
      .status(reported.http)
      .type('application/json')
      .serializer(JSON.stringify)
      .send({ error: reported });
  });
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?')[0] ?? '';
    const error = new HomewardError('not-in-this-version', `there is no ${request.method} ${path}`);
    return reply.status(error.http).send({ error });
  });
}

/** Our own bugs are logged with their stack; the rest is the caller's news. */
function reportError(error: unknown, log: Log, route: string): HomewardError {
  if (isFastifyError(error) && error.statusCode !== undefined && error.statusCode < 500) {
    return new HomewardError('usage', `the request is not valid: ${error.message}`);
  }
  const reported = isFull(error) ? noSpace(error) : toHomewardError(error);
  if (reported.code === 'bug') {
    const stack = error instanceof Error ? error.stack : undefined;
    log.error('request-failed', { route, message: reported.message, stack });
  }
  return reported;
}

/** SQLITE_FULL: nothing of the change was kept. */
function isFull(error: unknown): error is Error {
  return error instanceof Error && 'errcode' in error && error.errcode === 13;
}

const noSpace = (error: Error): HomewardError =>
  new HomewardError('no-space', 'the volume of the configuration server is full', { cause: error });

function isFastifyError(error: unknown): error is FastifyError {
  return error instanceof Error && 'code' in error && String(error.code).startsWith('FST_');
}
