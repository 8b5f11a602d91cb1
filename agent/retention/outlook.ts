// How long the history will fit on the retention volume: looked at now and then, told once when it changes.
import { formatTime } from '../../core/clock.ts';
import type { Config } from '../../core/config.ts';
import { limits } from '../../core/limits.ts';
import type { Log } from '../../core/log.ts';
import { moodNews, moodOf, type Mood } from '../../core/registration/forecast-mood.ts';
import { microseconds } from '../../core/units.ts';
import type { RetentionForecast } from '../control/service.ts';
import { forecastSpace, spellForecast, type Forecast, type ForecastMachine } from './forecast.ts';
import { activeLocks } from './locks.ts';
import { machinePolicy } from './machine-policy.ts';
import type { Ordered } from './orders.ts';
import type { SpaceVolume } from './space.ts';

export interface Foreseen extends Ordered {
  readonly name: string;
  readonly cursor: Ordered['cursor'] & { readonly firstPoint: number | null };
}

const minute = 60e6;

/** Reckoned again once a minute; what is told is told when it begins, gets worse, and ends. */
export class Outlook {
  readonly #config: Config;
  readonly #log: Log;
  #at = -Infinity;
  #mood: Mood = 'fits';
  /** Null before the first look. */
  report: RetentionForecast | null = null;

  constructor({ config, log }: { config: Config; log: Log }) {
    this.#config = config;
    this.#log = log;
  }

  /** `now` is in microseconds. */
  look(machines: readonly Foreseen[], volume: SpaceVolume, now: number): void {
    // Also when the clock was set back.
    if (Math.abs(now - this.#at) < limits.forecastMs * 1000) return;
    this.#at = now;
    const capacityBytes = capacityOf(machines, volume, now);
    const facts = machines.map((machine) => foreseen(machine, this.#config, now));
    const forecast = forecastSpace({ machines: facts, capacityBytes, now });
    const machine = machines.find(({ id }) => id === forecast.machine)?.name ?? null;
    this.report = reportOf(forecast, machine, now);
    this.#tell(forecast, now);
  }

  #tell({ fallsUnderAt }: Forecast, now: number): void {
    const mood = moodOf(fallsUnderAt, now);
    const news = moodNews(this.#mood, mood);
    this.#mood = mood;
    if (news === null || this.report === null) return;
    const { text, machine, hours, sustainedHours } = this.report;
    if (news === 'history-fits') this.#log.info(news, { hours });
    else if (news === 'history-short') this.#log.error(news, { text, machine, sustainedHours });
    else this.#log.warn(news, { text, machine, sustainedHours });
  }
}

function reportOf(forecast: Forecast, machine: string | null, now: number): RetentionForecast {
  const { hours, fallsUnderAt, sustainedHours } = forecast;
  return {
    text: spellForecast(forecast, now),
    hours,
    fallsUnderAt: fallsUnderAt === null ? null : formatTime(microseconds(Math.floor(fallsUnderAt))),
    machine,
    sustainedHours: sustainedHours === null ? null : Math.round(sustainedHours * 10) / 10,
  };
}

/** What the dense windows may take: what history has and what is free, but not what locks keep below them. */
function capacityOf(machines: readonly Foreseen[], volume: SpaceVolume, now: number): number {
  const history = machines.map(({ journal, history: { undo }, file, cursor }) => {
    const oldest = Math.min(...activeLocks(file.locks ?? [], now).map(({ lsn }) => lsn));
    const locked = undo.steps.filter(({ from, to }) => from >= oldest && to <= cursor.pruned);
    return journal.redoBytes + undo.bytes - locked.reduce((sum, { bytes }) => sum + bytes, 0);
  });
  return history.reduce((sum, bytes) => sum + bytes, volume.freeBytes - volume.reserveBytes);
}

/**
 * Its rate is the mean of the last hour, or of what is known if that is less; from the first point on: a
 * first copy says nothing of the days to come. While too little is known, it writes nothing. A machine
 * with a bound of its own takes no more than that.
 */
export function foreseen(machine: Foreseen, config: Config, now: number): ForecastMachine {
  const { id, file, journal, cursor } = machine;
  const { windowMs, maxBytes } = machinePolicy(file, config);
  const footprint = 1 + limits.undoPerRedo;
  const most = maxBytes === 0 ? Infinity : maxBytes / footprint;
  return {
    id,
    windowMs,
    footprint,
    bytesPerMinute: Math.min(rateOf(machine, now), most / Math.max(windowMs / 60_000, 1)),
    bytesSince: (time) => Math.min(most, writtenSince(journal.segments, cursor.firstPoint, time)),
  };
}

function rateOf(machine: Foreseen, now: number): number {
  const { rates, cursor, file } = machine;
  if (file.seeding || cursor.firstPoint === null) return 0;
  const hour = now - 60 * minute;
  const point = cursor.firstPoint === 0 ? 0 : (machine.timeOf(cursor.firstPoint) ?? 0);
  // The minute in which the first copy ended has some of it.
  const since = Math.max(hour, point === 0 ? 0 : point + minute);
  const known = Math.min((now - since) / minute, rates.knownMinutes(now));
  return known < limits.forecastKnownMinutes ? 0 : rates.bytesSince(since) / known;
}

function writtenSince(
  segments: Ordered['journal']['segments'],
  firstPoint: number | null,
  time: number,
): number {
  const recent = segments.filter(({ lastArrival }) => lastArrival === 0 || lastArrival >= time);
  return recent.reduce((sum, { end, lastLsn }) => (lastLsn > (firstPoint ?? 0) ? sum + end : sum), 0);
}
