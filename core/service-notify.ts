// Tells the service manager how this daemon is: starting, ready, alive, stopping (the protocol of sd_notify).
import { errnoOf, toHomewardError } from './errors.ts';
import { limits } from './limits.ts';
import { sendDatagram } from './linux.ts';
import { createLog } from './log.ts';

export interface ServiceNotifier {
  /** Call it when the daemon serves, not before. `status` is one line for people. */
  ready(status: string): void;
  status(text: string): void;
  stopping(): void;
  /** Ends the signs of life, with the daemon. */
  end(): void;
}

type Environment = Readonly<Record<string, string | undefined>>;

const silent: ServiceNotifier = {
  ready: () => undefined,
  status: () => undefined,
  stopping: () => undefined,
  end: () => undefined,
};

/**
 * Without `NOTIFY_SOCKET` there is nobody to tell. Signs of life come from a timer of the event loop, so
 * that a loop that hangs gives none. While the daemon starts it also asks for more time: what it opens may
 * be large.
 */
export function serviceNotifier(environment: Environment): ServiceNotifier {
  const socket = environment['NOTIFY_SOCKET'] ?? '';
  if (socket === '') return silent;
  const send = sender(socket);
  const starting = setInterval(() => send(moreTime), limits.serviceStartSignMs).unref();
  send('STATUS=starting', moreTime);
  const watchdogMs = watchdogInterval(environment);
  const alive = watchdogMs === null ? null : setInterval(() => send('WATCHDOG=1'), watchdogMs / 2).unref();
  return {
    ready(status) {
      clearInterval(starting);
      send('READY=1', `STATUS=${oneLine(status)}`);
    },
    status: (text) => send(`STATUS=${oneLine(text)}`),
    stopping() {
      clearInterval(starting);
      send('STOPPING=1', 'STATUS=stopping');
    },
    end() {
      clearInterval(starting);
      if (alive !== null) clearInterval(alive);
    },
  };
}

const moreTime = `EXTEND_TIMEOUT_USEC=${limits.serviceStartMs * 1000}`;

/** How long the service manager waits for a sign of life, or null when it does not wait for one of ours. */
export function watchdogInterval(environment: Environment, pid = process.pid): number | null {
  const ms = Number(environment['WATCHDOG_USEC']) / 1000;
  const whose = environment['WATCHDOG_PID'] ?? '';
  return ms >= 1 && (whose === '' || Number(whose) === pid) ? ms : null;
}

/**
 * A service manager that is busy lets its queue fill, which holds few: what is said waits then, in order. A
 * daemon whose service manager has gone goes on; that is said once.
 */
function sender(socket: string): (...lines: string[]) => void {
  let failed = false;
  const waiting: string[] = [];
  const flush = (): void => {
    try {
      for (let next = waiting[0]; next !== undefined; next = waiting[0]) {
        sendDatagram(socket, next);
        waiting.shift();
      }
      failed = false;
    } catch (error) {
      if (errnoOf(error) === 'EAGAIN') {
        setTimeout(flush, limits.serviceBusyMs).unref();
        return;
      }
      waiting.length = 0;
      if (!failed) createLog().warn('service-not-notified', { socket, error: toHomewardError(error) });
      failed = true;
    }
  };
  return (...lines) => {
    const text = lines.join('\n');
    const isWaiting = waiting.length > 0;
    // The same sign twice says no more than once.
    if (waiting.at(-1) !== text) waiting.push(text);
    if (!isWaiting) flush();
  };
}

const oneLine = (text: string): string => text.replaceAll(/\s+/g, ' ').trim();
