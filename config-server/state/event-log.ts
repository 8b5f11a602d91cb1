// What has happened, for operators: stored, bounded, and written to the log as well.
import type { Clock } from '../../core/clock.ts';
import { limits } from '../../core/limits.ts';
import type { Log } from '../../core/log.ts';
import type { State } from './tables.ts';

export const Severity = { info: 'info', warning: 'warning', critical: 'critical' } as const;
export type Severity = (typeof Severity)[keyof typeof Severity];

export interface NewEvent {
  kind: string;
  severity: Severity;
  host?: string | undefined;
  machine?: string | undefined;
  message: string;
}

/** `time` is microseconds. */
export interface StoredEvent {
  id: number;
  time: number;
  kind: string;
  severity: Severity;
  host: string | null;
  machine: string | null;
  message: string;
}

export class EventLog {
  readonly #state: State;
  readonly #clock: Clock;
  readonly #log: Log;
  #nextId: number;

  private constructor(state: State, clock: Clock, log: Log, nextId: number) {
    this.#state = state;
    this.#clock = clock;
    this.#log = log;
    this.#nextId = nextId;
  }

  static async open(state: State, clock: Clock, log: Log): Promise<EventLog> {
    const newest = await state
      .selectFrom('events')
      .select(({ fn }) => fn.max('id').as('id'))
      .executeTakeFirst();
    return new EventLog(state, clock, log, Number(newest?.id ?? 0) + 1);
  }

  async add(event: NewEvent): Promise<void> {
    const id = this.#nextId++;
    const { kind, severity, host = null, machine = null, message } = event;
    this.#log[severity === 'info' ? 'info' : 'warn'](kind, {
      host: event.host,
      machine: event.machine,
      message,
    });
    const row = { id, time: this.#clock.now(), kind, severity, host, machine, message };
    await this.#state.insertInto('events').values(row).execute();
    if (id % eventsBetweenPrunes === 0) {
      await this.#state
        .deleteFrom('events')
        .where('id', '<=', id - limits.eventsKept)
        .execute();
    }
  }

  /** Those above `after`, oldest first; without it the newest, oldest first. */
  async list({ after, limit }: { after: number | null; limit: number }): Promise<StoredEvent[]> {
    const events = this.#state.selectFrom('events').selectAll().limit(limit);
    const rows =
      after === null
        ? (await events.orderBy('id', 'desc').execute()).reverse()
        : await events.where('id', '>', after).orderBy('id').execute();
    return rows.map((row) => ({ ...row, severity: row.severity as Severity }));
  }
}

const eventsBetweenPrunes = 1000;
