// What master targets foresee of their retention volumes, and what has changed in that as events.
import type { RetentionForecast } from '../../core/registration/machine-status.ts';
import type { Registry } from '../registry.ts';
import type { NewEvent } from '../state/event-log.ts';

type Mood = 'fits' | 'falls' | 'short';

export class ForecastWatch {
  /** By host. */
  readonly #seen = new Map<string, Mood>();

  /** Told when it begins, gets worse, and ends; also when it is so already at the first look. */
  look({ hosts, presence, clock }: Registry): NewEvent[] {
    const targets = hosts.list().filter(({ role }) => role === 'master-target');
    return targets.flatMap(({ id: host, name }): NewEvent[] => {
      const forecast = presence.get(host)?.heartbeat.target?.retention.forecast;
      if (forecast === undefined) return [];
      const mood = moodOf(forecast, clock.now() / 1000);
      const before = this.#seen.get(host) ?? 'fits';
      this.#seen.set(host, mood);
      const event = changed(before, mood, forecast, name);
      return event === null ? [] : [{ ...event, host }];
    });
  }
}

const moodOf = ({ fallsUnderAt }: RetentionForecast, nowMs: number): Mood =>
  fallsUnderAt === null ? 'fits' : Date.parse(fallsUnderAt) <= nowMs ? 'short' : 'falls';

function changed(before: Mood, mood: Mood, forecast: RetentionForecast, name: string): NewEvent | null {
  const { text, machine, hours } = forecast;
  const who = machine === null ? '' : `; ${machine} takes most`;
  const message = `${name}: ${text ?? 'history falls short'}${who}`;
  if (mood === before) return null;
  if (mood === 'short') return { kind: 'history-short', severity: 'critical', message };
  // From short to falling it has got better: no news for who was told the worse.
  if (mood === 'falls')
    return before === 'fits' ? { kind: 'history-falls', severity: 'warning', message } : null;
  return { kind: 'history-fits', severity: 'info', message: `${name}: ${hours} h of history fit again` };
}
