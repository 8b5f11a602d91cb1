// Looks again and again at how hosts and machines do, and notes what has changed as an event.
import type { MachineState } from '../../core/registration/machine-status.ts';
import { toHomewardError } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import { machineStatuses } from '../machines/fleet.ts';
import type { Registry } from '../registry.ts';
import type { NewEvent } from '../state/event-log.ts';
import { ForecastWatch } from './forecast-watch.ts';
import { judgeHost, spell, type Health } from './health.ts';
import type { KnownHost } from './host-list.ts';
import { silenceOf } from './roster.ts';
import { SpoolWatch } from './spool-watch.ts';

interface Seen {
  health: Health;
  skewed: boolean;
}

export class Watch {
  readonly #registry: Registry;
  readonly #hosts = new Map<string, Seen>();
  readonly #machines = new Map<string, MachineState>();
  readonly #spools = new SpoolWatch();
  readonly #forecasts = new ForecastWatch();
  #timer: NodeJS.Timeout | null = null;
  #turn: Promise<void> = Promise.resolve();

  constructor(registry: Registry) {
    this.#registry = registry;
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.#turn = this.#turn.then(() => this.#lookAgain());
    }, limits.watchMs).unref();
  }

  /** Resolves when the last contact of every host is stored. */
  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    await this.#turn;
    const { hosts, presence, turns } = this.#registry;
    await turns.run(async () => {
      for (const host of hosts.list()) {
        const heard = presence.get(host.id);
        if (heard !== null) await hosts.put({ ...host, lastContact: heard.at });
      }
    });
  }

  async #lookAgain(): Promise<void> {
    try {
      await this.look();
    } catch (error) {
      this.#registry.log.error('watch-failed', { error: toHomewardError(error) });
    }
  }

  /** What is seen for the first time is no change. */
  async look(): Promise<void> {
    const { hosts, events } = this.#registry;
    for (const event of hosts.list().flatMap((host) => this.#lookAtHost(host))) await events.add(event);
    for (const event of this.#spools.look(this.#registry)) await events.add(event);
    for (const event of this.#forecasts.look(this.#registry)) await events.add(event);
    await this.#noteLedgers();
    for (const { id, name, state, detail } of machineStatuses(this.#registry)) {
      const before = this.#machines.get(id);
      this.#machines.set(id, state);
      if (before === undefined || before === state) continue;
      const why = detail === null ? '' : `: ${detail}`;
      const message = `${name} went from ${before} to ${state}${why}`;
      const severity = grave.has(state) ? 'critical' : state === 'disconnected' ? 'warning' : 'info';
      await events.add({ kind: 'machine-state', severity, machine: id, message });
    }
  }

  async #noteLedgers(): Promise<void> {
    const { hosts, presence, ledgers, events } = this.#registry;
    for (const { id: host, role } of hosts.list()) {
      if (role !== 'master-target') continue;
      for (const { id: machine, name, ledger } of presence.get(host)?.heartbeat.target?.machines ?? [])
        if (ledger !== undefined)
          await ledgers.note({ host, machine, name }, ledger, (event) => events.add(event));
    }
  }

  #lookAtHost(host: KnownHost): NewEvent[] {
    const { presence, calls } = this.#registry;
    const silentMs = silenceOf(this.#registry, host);
    if (silentMs !== null && silentMs > limits.hostSilentMs) calls.silent(host.id);
    const { health } = judgeHost({ silentMs, skewMs: null });
    const skewMs = presence.get(host.id)?.skewMs ?? 0;
    const skewed = Math.abs(skewMs) > limits.clockSkewWarnedMs;
    const before = this.#hosts.get(host.id);
    // A host that was never heard is new, not back.
    if (silentMs !== null) this.#hosts.set(host.id, { health, skewed });
    if (before === undefined) return [];
    const events: NewEvent[] = [];
    if (before.health !== health) events.push(silenceEvent(host, health, silentMs));
    if (skewed && !before.skewed) events.push(skewEvent(host, skewMs));
    return events;
  }
}

const grave: ReadonlySet<MachineState> = new Set(['failed', 'no-space', 'damaged']);

function silenceEvent(
  { id: host, role, name }: KnownHost,
  health: Health,
  silentMs: number | null,
): NewEvent {
  const who = `the ${role} ${name}`;
  if (health === 'ok') {
    return { kind: 'host-back', severity: 'info', host, message: `${who} is heard again` };
  }
  const message = `${who} has been silent for ${spell(silentMs ?? 0)}`;
  return health === 'critical'
    ? { kind: 'host-lost', severity: 'critical', host, message }
    : { kind: 'host-silent', severity: 'warning', host, message };
}

function skewEvent({ id: host, role, name }: KnownHost, skewMs: number): NewEvent {
  const side = skewMs > 0 ? 'ahead' : 'behind';
  const message = `the clock of the ${role} ${name} is ${spell(Math.abs(skewMs))} ${side}`;
  return { kind: 'clock-skew', severity: 'warning', host, message };
}
