// What master targets foresee of their retention volumes, and what has changed in that as events.
import { moodNews, moodOf, type Mood } from '../../core/registration/forecast-mood.ts';
import type { RetentionForecast } from '../../core/registration/machine-status.ts';
import type { Registry } from '../registry.ts';
import type { NewEvent } from '../state/event-log.ts';

export class ForecastWatch {
  /** By host. */
  readonly #seen = new Map<string, Mood>();

  /** Told when it begins, gets worse, and ends; also when it is so already at the first look. */
  look({ hosts, presence, clock }: Registry): NewEvent[] {
    const targets = hosts.list().filter(({ role }) => role === 'master-target');
    return targets.flatMap(({ id: host, name }): NewEvent[] => {
      const forecast = presence.get(host)?.heartbeat.target?.retention.forecast;
      if (forecast === undefined) return [];
      const { fallsUnderAt } = forecast;
      const falls = fallsUnderAt === null ? null : Date.parse(fallsUnderAt);
      const mood = moodOf(falls, clock.now() / 1000);
      const before = this.#seen.get(host) ?? 'fits';
      this.#seen.set(host, mood);
      const event = changed(before, mood, forecast, name);
      return event === null ? [] : [{ ...event, host }];
    });
  }
}

const severities = {
  'history-fits': 'info',
  'history-falls': 'warning',
  'history-short': 'critical',
} as const;

function changed(before: Mood, mood: Mood, forecast: RetentionForecast, name: string): NewEvent | null {
  const kind = moodNews(before, mood);
  if (kind === null) return null;
  const { text, machine, hours } = forecast;
  const who = machine === null ? '' : `; ${machine} takes most`;
  const what = mood === 'fits' ? `${hours} h of history fit again` : `${text ?? 'history falls short'}${who}`;
  return { kind, severity: severities[kind], message: `${name}: ${what}` };
}
