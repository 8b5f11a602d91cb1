// How the history of one machine is kept: what was set for it, else what its protection asks for, else the
// configuration.
import type { Config } from '../../core/config.ts';
import { HomewardError } from '../../core/errors.ts';
import { formatKeepRules, parseKeepRules, type KeepRules } from '../../core/keep-rules.ts';
import { limits } from '../../core/limits.ts';
import type { RetentionChange, RetentionReport } from '../control/service.ts';
import type { MachineFile, MachineRetention } from '../replica/machine-file.ts';

export interface MachinePolicy {
  windowMs: number;
  /** Of all its history; 0 is no bound. */
  maxBytes: number;
  /** At the most the window. */
  floorMs: number;
  keep: KeepRules;
}

/** For how long anything is kept, but for locks. */
export const longestKeptMs = ({ windowMs, keep }: Pick<MachinePolicy, 'windowMs' | 'keep'>): number =>
  Math.max(windowMs, ...Object.values(keep));

export type RetentionDefaults = Pick<Config, 'windowMs' | 'windowMaxBytes' | 'keepRules' | 'floorMs'>;
export type RetentionFields = Pick<MachineFile, 'name' | 'windowMs' | 'retention'>;

export function machinePolicy(file: RetentionFields, defaults: RetentionDefaults): MachinePolicy {
  const { windowMs, keep, maxBytes, floorMs } = file.retention ?? {};
  const window = windowMs ?? file.windowMs ?? defaults.windowMs;
  return {
    windowMs: window,
    maxBytes: maxBytes ?? defaults.windowMaxBytes,
    floorMs: Math.min(floorMs ?? defaults.floorMs, window),
    keep: parseKeepRules(keep ?? defaults.keepRules),
  };
}

/**
 * What is set for the machine after `change`: null in it takes a value back, and what it leaves out stays.
 * Throws 'usage' and 'bad-keep-rules' for what cannot be meant.
 */
export function changedRetention(
  file: RetentionFields,
  change: RetentionChange,
  defaults: RetentionDefaults,
): MachineRetention {
  const entries = Object.entries({ ...file.retention, ...change }).filter(
    ([, value]) => value !== null && value !== undefined,
  );
  const next = Object.fromEntries(entries) as MachineRetention;
  if (next.keep !== undefined) next.keep = formatKeepRules(parseKeepRules(next.keep));
  if (next.windowMs !== undefined) checkWindow(next.windowMs);
  const window = next.windowMs ?? file.windowMs ?? defaults.windowMs;
  if (next.floorMs !== undefined && next.floorMs > window)
    throw new HomewardError('usage', 'the floor is longer than the window', {
      hint: 'The floor is what stays of the window on a full volume: give less, or a longer --window.',
    });
  return next;
}

export function retentionReport(
  file: RetentionFields,
  defaults: RetentionDefaults,
  changed: boolean,
): RetentionReport {
  const policy = machinePolicy(file, defaults);
  const { windowMs, keep, maxBytes, floorMs } = file.retention ?? {};
  const own = (value: unknown): 'machine' | 'default' => (value === undefined ? 'default' : 'machine');
  const protection = file.windowMs === undefined ? 'default' : 'protection';
  return {
    machine: file.name,
    windowMs: policy.windowMs,
    keep: formatKeepRules(policy.keep),
    maxBytes: policy.maxBytes,
    floorMs: policy.floorMs,
    from: {
      window: windowMs === undefined ? protection : 'machine',
      keep: own(keep),
      maxBytes: own(maxBytes),
      floor: own(floorMs),
    },
    changed,
  };
}

function checkWindow(windowMs: number): void {
  if (windowMs >= limits.windowLeastMs && windowMs <= limits.windowMostMs) return;
  throw new HomewardError('usage', 'the window cannot be that long or short', {
    hint: 'Give --window a time from 1s to 52w, for example 24h; older history is kept by --keep.',
  });
}
