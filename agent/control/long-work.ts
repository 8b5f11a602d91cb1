// Long work over HTTP: lines of JSON with the progress, then one line with the result or the error.
import type { FastifyReply } from 'fastify';
import { HomewardError } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import type { OnProgress } from './service.ts';

export type Work<T> = (progress: OnProgress, signal: AbortSignal) => Promise<T>;

/** Turns what was thrown into what is sent; the server logs bugs in it. */
export type Report = (error: unknown) => HomewardError;

/**
 * Runs `work` and streams it. The client closing the connection, or `stopping`, aborts the work; the call
 * resolves only when the work itself has come to its end. A failure before the first line still has its own
 * HTTP status; after it, the status has gone out as 200 and the last line says what happened.
 */
export async function streamWork<T>(
  reply: FastifyReply,
  work: Work<T>,
  stopping: AbortSignal,
  report: Report,
): Promise<void> {
  reply.hijack();
  const response = reply.raw;
  const send = (line: unknown, status = 200): void => {
    if (!response.headersSent) {
      response.writeHead(status, { 'content-type': 'application/x-ndjson', connection: 'close' });
    }
    response.write(JSON.stringify(line) + '\n');
  };
  const gone = new AbortController();
  const onClose = (): void => gone.abort(new HomewardError('interrupted', 'the client went away'));
  response.on('close', onClose);
  try {
    const progress = throttled(
      (line) => send({ progress: line }),
      () => response.writableNeedDrain,
    );
    send({ result: await work(progress, AbortSignal.any([gone.signal, stopping])) });
  } catch (error) {
    const reported = report(error);
    send({ error: reported }, reported.http);
  } finally {
    response.off('close', onClose);
    response.end();
  }
}

/** Progress no more often than anybody can read it, and none while the client does not read. */
function throttled(send: OnProgress, busy: () => boolean): OnProgress {
  let sentAt = -Infinity;
  return (progress) => {
    const now = performance.now();
    if (now - sentAt < limits.progressIntervalMs || busy()) return;
    sentAt = now;
    send(progress);
  };
}
