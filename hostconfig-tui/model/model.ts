// Everything that the screen shows, what can happen to it, and what it asks to be done: data alone.
import type { Config, SettingKey } from '../../core/config.ts';
import type { ListRow } from './field.ts';
import type { Key } from './key.ts';
import type { Page, PageId } from './page.ts';

export interface Size {
  columns: number;
  rows: number;
}

/** The settings that the pages show. */
export type HostSettings = Pick<
  Config,
  | 'hostId'
  | 'role'
  | 'configServerAddress'
  | 'configServerPort'
  | 'useHttps'
  | 'retentionVolume'
  | 'replicaDirectory'
  | 'cacheDirectory'
  | 'natHostName'
  | 'natIpAddress'
  | 'logLevel'
  | 'logFile'
>;

/** As text for the file, by the name of the setting. */
export type Changes = Partial<Record<SettingKey, string>>;

export interface Status {
  /** This host has an identity of some configuration server, which needs no passphrase any more. */
  enrolled: boolean;
  /** With what server this host is registered, as `host:port`; null before. */
  registered: { server: string; hostId: string } | null;
  /** Seconds since that server answered the daemon; null when nobody knows. */
  contactSeconds: number | null;
  /** Of the daemon's service, in a word or two; null where there is none. */
  service: string | null;
}

/** Something that did not work, as it is told. */
export interface Fault {
  code: string;
  what: string;
  hint: string;
  /** A port where the configuration server does answer. */
  usualPort: number | null;
  /** Whether the settings make sense all the same, so that they may be saved. */
  canSave: boolean;
}

export interface Model {
  size: Size;
  menuAt: number;
  page: Page | null;
  help: { title: string; lines: readonly string[] } | null;
  settings: HostSettings;
  status: Status;
}

export type Event =
  | { kind: 'key'; key: Key }
  | { kind: 'resize'; size: Size }
  | { kind: 'status'; status: Status; settings: HostSettings }
  | { kind: 'volumes'; rows: readonly ListRow[] }
  | { kind: 'log'; lines: readonly string[] }
  | { kind: 'progress'; text: string }
  /** Another second of what is under way. */
  | { kind: 'tick' }
  | { kind: 'failed'; fault: Fault }
  | { kind: 'stopped' }
  | { kind: 'saved'; lines: readonly string[]; settings: HostSettings; status: Status };

/** What the configuration server is, and how to prove it: null to go by the identity that this host has. */
export interface ServerWanted {
  host: string;
  port: number;
  passphrase: string | null;
}

export type Effect =
  /** Contacts the server, enrols, and saves when that worked. */
  | { kind: 'register'; server: ServerWanted }
  /** Looks whether the places are what they have to be, and saves what is new of them when they are. */
  | { kind: 'save-places'; places: Changes; changes: Changes }
  | { kind: 'save'; changes: Changes; says: readonly string[] }
  | { kind: 'cancel' }
  | { kind: 'look-for-volumes' }
  | { kind: 'follow-log'; on: boolean }
  | { kind: 'redraw' }
  | { kind: 'quit'; status: number };

export interface Updated {
  model: Model;
  effects: readonly Effect[];
}

export const menu = ['Global', 'Agent', 'NAT', 'Logging', 'Quit'] as const;

/** Less shows no page as a whole. */
export const leastSize: Size = { columns: 80, rows: 24 };

export const isTooSmall = ({ columns, rows }: Size): boolean =>
  columns < leastSize.columns || rows < leastSize.rows;

export function newModel(size: Size, settings: HostSettings, status: Status): Model {
  return { size, menuAt: 0, page: null, help: null, settings, status };
}

export const pageOfMenu: readonly (PageId | null)[] = ['global', 'agent', 'nat', 'logging', null];
