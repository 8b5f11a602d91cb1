// Runs a daemon in the foreground, and tells the service manager, where there is one, how it is.
import { serviceNotifier } from '../core/service-notify.ts';
import { required } from './operands.ts';
import type { Session } from './session.ts';

/**
 * `run` calls `ready` when it serves, with one line for people, and resolves after a clean stop, which the
 * signal asks for.
 */
export async function runService(
  session: Session,
  run: (signal: AbortSignal, ready: (status: string) => void) => Promise<void>,
): Promise<void> {
  const signal = session.io.interrupts();
  const service = serviceNotifier(session.io.env);
  const stopping = (): void => service.stopping();
  signal.addEventListener('abort', stopping, { once: true });
  try {
    await run(signal, (status) => service.ready(status));
  } finally {
    signal.removeEventListener('abort', stopping);
    service.end();
  }
}

/** The directory of --data, as an option of a daemon; without the flag the daemon has a place of its own. */
export function dataOption(session: Session, data: string | undefined): { data?: string } {
  return data === undefined ? {} : { data: session.resolve(required(data, '--data')) };
}
