// The one table of settings: from it come parsing, validation, `docs/configuration.md` and the fields of
// screens.
import { LogLevel } from './log.ts';
import { hostSettings } from './settings-host.ts';

interface SettingBase {
  /** As it is spelled in the file. */
  key: string;
  /** As it is called in `Config`, with the unit of the parsed value. */
  name: string;
  section: 'vxagent' | 'homeward';
  /** As it would be written in the file. */
  default: string;
  /** Whether a running daemon takes a new value, or the next one. */
  applies: 'live' | 'restart';
  /** One sentence. */
  doc: string;
}

/** Least and most are inclusive, spelled as in the file. */
interface Range {
  least: string;
  most: string;
}

export type Setting = SettingBase &
  (
    | ({ type: 'bytes' } & Range)
    /** Parsed into milliseconds; a number without a unit is in `unit`. */
    | ({ type: 'duration'; unit: 'ms' | 's' | 'h' } & Range)
    | ({ type: 'integer' } & Range)
    | { type: 'boolean' }
    /** Rules for older history, see `parseKeepRules`. */
    | { type: 'keep-rules' }
    | { type: 'text' }
    /** An absolute path, or empty for none. */
    | { type: 'path' }
    | { type: 'choice'; choices: readonly string[] }
  );

export const settings = [
  ...hostSettings,
  {
    key: 'WindowHours',
    name: 'windowMs',
    section: 'homeward',
    type: 'duration',
    unit: 'h',
    default: '24h',
    least: '1s',
    most: '52w',
    applies: 'restart',
    doc: 'How far back every single write stays recoverable.',
  },
  {
    key: 'WindowMaxBytes',
    name: 'windowMaxBytes',
    section: 'homeward',
    type: 'bytes',
    default: '0',
    least: '0',
    most: '4096T',
    applies: 'restart',
    doc: 'The most history that one machine keeps, whatever else is set for it; 0 is no bound.',
  },
  {
    key: 'KeepRules',
    name: 'keepRules',
    section: 'homeward',
    type: 'keep-rules',
    default: 'hourly=7d,daily=4w,tags=4w',
    applies: 'restart',
    doc: 'Which points stay when the window has passed, and how long; see docs/retention.md.',
  },
  {
    key: 'FloorHours',
    name: 'floorMs',
    section: 'homeward',
    type: 'duration',
    unit: 'h',
    default: '4h',
    least: '0s',
    most: '52w',
    applies: 'restart',
    doc: 'The history that every machine keeps when the retention volume is full and others have more.',
  },
  {
    key: 'WhenFull',
    name: 'whenFull',
    section: 'homeward',
    type: 'choice',
    choices: ['shorten', 'stop'],
    default: 'shorten',
    applies: 'restart',
    doc: 'A full retention volume: shorten history down to the floors, or keep it and take no more writes.',
  },
  {
    key: 'ApplyBacklogBytes',
    name: 'applyBacklogBytes',
    section: 'homeward',
    type: 'bytes',
    default: '0',
    least: '0',
    most: '4096T',
    applies: 'restart',
    doc: 'Redo that may wait to be applied before writers are slowed; 0 is a quarter of the free space.',
  },
  {
    key: 'ReplicaLag',
    name: 'replicaLagMs',
    section: 'homeward',
    type: 'duration',
    unit: 's',
    default: '5m',
    least: '0s',
    most: '52w',
    applies: 'restart',
    doc: 'How far the replica trails the newest write; from the whole window on it needs no undo.',
  },
  {
    key: 'SegmentBytes',
    name: 'segmentBytes',
    section: 'homeward',
    type: 'bytes',
    default: '64M',
    least: '64K',
    most: '1G',
    applies: 'restart',
    doc: 'Size of one redo segment; a write that does not fit in one gets a larger one of its own.',
  },
  {
    key: 'SyncIntervalMs',
    name: 'syncIntervalMs',
    section: 'homeward',
    type: 'duration',
    unit: 'ms',
    default: '200ms',
    least: '1ms',
    most: '1m',
    applies: 'restart',
    doc: 'How long a received write may stay unsynced when nobody asks for a flush.',
  },
  {
    key: 'UnsyncedBytes',
    name: 'unsyncedBytes',
    section: 'homeward',
    type: 'bytes',
    default: '96M',
    least: '65M',
    most: '4G',
    applies: 'restart',
    doc: 'Received bytes that may be in memory before they are durable, all machines together.',
  },
  {
    key: 'LogLevel',
    name: 'logLevel',
    section: 'homeward',
    type: 'choice',
    choices: Object.keys(LogLevel) as (keyof typeof LogLevel)[],
    default: 'info',
    applies: 'restart',
    doc: 'The least important log lines that are still written.',
  },
  {
    key: 'RetentionReserveBytes',
    name: 'retentionReserveBytes',
    section: 'homeward',
    type: 'bytes',
    default: '256M',
    least: '0',
    most: '1T',
    applies: 'restart',
    doc: 'Space on the retention volume that only housekeeping may use; below it writers get "no space".',
  },
  {
    key: 'SpoolBytes',
    name: 'spoolBytes',
    section: 'homeward',
    type: 'bytes',
    default: '0',
    least: '0',
    most: '4096T',
    applies: 'restart',
    doc: 'What all spools of a process server may take together; 0 is four fifths of what is free at start.',
  },
  {
    key: 'SpoolReserveBytes',
    name: 'spoolReserveBytes',
    section: 'homeward',
    type: 'bytes',
    default: '256M',
    least: '0',
    most: '1T',
    applies: 'restart',
    doc: 'Space on the volume of a process server that its spools leave free.',
  },
  {
    key: 'BatchResync',
    name: 'batchResync',
    section: 'homeward',
    type: 'integer',
    default: '3',
    least: '1',
    most: '1000',
    applies: 'restart',
    doc: 'How many machines of a process server copy or compare their disks at a time; others wait.',
  },
  {
    key: 'NbdTlsDirectory',
    name: 'nbdTlsDirectory',
    section: 'homeward',
    type: 'path',
    default: '',
    applies: 'restart',
    doc: 'Directory of `server-cert.pem`, `server-key.pem` and `ca-cert.pem` for NBD over TCP, or empty.',
  },
  {
    key: 'OutboxMemoryBytes',
    name: 'outboxMemoryBytes',
    section: 'homeward',
    type: 'bytes',
    default: '64M',
    least: '8M',
    most: '16G',
    applies: 'restart',
    doc: 'Memory for writes that a source has not sent yet; at most twice that while they are put on disk.',
  },
  {
    key: 'OutboxBytes',
    name: 'outboxBytes',
    section: 'homeward',
    type: 'bytes',
    default: '8G',
    least: '0',
    most: '4096T',
    applies: 'restart',
    doc: 'Disk space for writes that a source has not sent yet; beyond it changed regions are remembered.',
  },
  {
    key: 'ChainCompression',
    name: 'chainCompression',
    section: 'homeward',
    type: 'boolean',
    default: 'yes',
    applies: 'restart',
    doc: 'Whether a source compresses what it sends where that is worth it.',
  },
  {
    key: 'CustomScriptTime',
    name: 'customScriptMs',
    section: 'homeward',
    type: 'duration',
    unit: 's',
    default: '1m',
    least: '1s',
    most: '1h',
    applies: 'restart',
    doc: 'How long each step of a custom script around a tag may take before it is ended.',
  },
] as const satisfies readonly Setting[];

export type SettingKey = (typeof settings)[number]['key'];

type ValueOf<S extends Setting> = S extends { type: 'boolean' }
  ? boolean
  : S extends { type: 'bytes' | 'duration' | 'integer' }
    ? number
    : S extends { type: 'choice'; choices: readonly (infer C)[] }
      ? C
      : string;

/** All settings with their values: bytes and milliseconds as numbers. */
export type Config = { readonly [S in (typeof settings)[number] as S['name']]: ValueOf<S> };
