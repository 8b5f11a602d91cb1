// Calls of operators on their way to hosts: handed over when the host asks for work, answered by a stream.
import { randomUUID } from 'node:crypto';
import type { Readable } from 'node:stream';
import { HomewardError } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import type { HostCall } from '../../core/registration/messages.ts';

export interface Answer {
  status: number;
  /** Whoever takes the answer reads it to its end or destroys it. */
  body: Readable;
}

interface Waiting {
  hostId: string;
  call: HostCall;
  /** The run of the host that has taken it, or null. */
  takenBy: string | null;
  /** Goes on only until the host has taken it. */
  timer: NodeJS.Timeout | null;
  resolve(answer: Answer): void;
  reject(error: Error): void;
}

/** A call waits, is taken, is answered once; it is forgotten at its answer or when its operator goes. */
export class Calls {
  readonly #waiting = new Map<string, Waiting>();
  readonly #wake: (hostId: string) => void;
  readonly #takenMs: number;

  /** `wake` is told which host has a new call. */
  constructor(wake: (hostId: string) => void, takenMs: number = limits.hostCallTakenMs) {
    this.#wake = wake;
    this.#takenMs = takenMs;
  }

  /**
   * Resolves with the head of the answer. Throws 'host-not-connected' when the host does not take it in time,
   * and 'interrupted' at once when `signal` aborts.
   */
  ask(hostId: string, call: Omit<HostCall, 'id'>, signal: AbortSignal): Promise<Answer> {
    if (this.#waiting.size >= limits.hostCalls) {
      const message = `${limits.hostCalls} calls to hosts are under way already`;
      return Promise.reject(new HomewardError('too-many-attempts', message));
    }
    const id = randomUUID();
    return new Promise<Answer>((resolve, reject) => {
      const end = (): void => {
        const waiting = this.#waiting.get(id);
        if (waiting !== undefined && waiting.timer !== null) clearTimeout(waiting.timer);
        this.#waiting.delete(id);
        signal.removeEventListener('abort', onAbort);
      };
      const fail = (error: Error): void => {
        end();
        reject(error);
      };
      const onAbort = (): void => fail(new HomewardError('interrupted', 'whoever asked went away'));
      const timer = setTimeout(() => fail(notConnected(hostId)), this.#takenMs);
      const succeed = (answer: Answer): void => {
        end();
        resolve(answer);
      };
      const ask = { hostId, call: { id, ...call }, takenBy: null, timer, resolve: succeed, reject: fail };
      this.#waiting.set(id, ask);
      if (signal.aborted) return onAbort();
      signal.addEventListener('abort', onAbort, { once: true });
      this.#wake(hostId);
    });
  }

  waitFor(hostId: string): boolean {
    return [...this.#waiting.values()].some(
      (waiting) => waiting.hostId === hostId && waiting.takenBy === null,
    );
  }

  /**
   * The calls that a host has not taken yet; they count as taken from here on. `run` is new each time that
   * the host's program is started: what an older run has taken, nobody will answer.
   */
  take(hostId: string, run: string): HostCall[] {
    this.#failTaken(hostId, (takenBy) => takenBy !== run);
    const untaken = [...this.#waiting.values()].filter(
      (each) => each.hostId === hostId && each.takenBy === null,
    );
    for (const waiting of untaken) {
      waiting.takenBy = run;
      if (waiting.timer !== null) clearTimeout(waiting.timer);
      waiting.timer = null;
    }
    return untaken.map(({ call }) => call);
  }

  /** What was taken did not reach the host: it is there for its next question. */
  giveBack(calls: readonly HostCall[]): void {
    for (const { id } of calls) {
      const waiting = this.#waiting.get(id);
      if (waiting === undefined) continue;
      waiting.takenBy = null;
      waiting.timer = setTimeout(() => waiting.reject(notConnected(waiting.hostId)), this.#takenMs);
      this.#wake(waiting.hostId);
    }
  }

  /** Nothing has been heard of the host for a while: what it has taken is not waited for any longer. */
  silent(hostId: string): void {
    this.#failTaken(hostId, () => true);
  }

  #failTaken(hostId: string, which: (takenBy: string) => boolean): void {
    for (const waiting of this.#waiting.values()) {
      const { takenBy } = waiting;
      if (waiting.hostId === hostId && takenBy !== null && which(takenBy))
        waiting.reject(
          new HomewardError('host-not-connected', `the host ${hostId} went away during the call`),
        );
    }
  }

  /** False when nobody waits for this answer of this host any more. */
  answer(hostId: string, id: string, answer: Answer): boolean {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined || waiting.hostId !== hostId) return false;
    waiting.resolve(answer);
    return true;
  }

  /** The server stops: everybody who waits hears of it. */
  close(): void {
    for (const waiting of this.#waiting.values()) {
      waiting.reject(new HomewardError('interrupted', 'the configuration server is stopping'));
    }
  }
}

const notConnected = (hostId: string): HomewardError =>
  new HomewardError('host-not-connected', `the host ${hostId} does not ask for work`);
