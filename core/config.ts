// The configuration: flag before environment before file before default, each value checked against its
// setting.
import fs from 'node:fs';
import ini from 'ini';
import { HomewardError, errnoOf } from './errors.ts';
import type { Log } from './log.ts';
import { nearestWord } from './nearest-word.ts';
import { parseSetting, type SettingValue } from './setting-value.ts';
import { settings, type Config, type Setting, type SettingKey } from './settings.ts';

export type { Config, SettingKey } from './settings.ts';

export interface ConfigSources {
  /** Path of `drscout.conf`, or null to do without one; a named file that is missing is 'no-such-file'. */
  file: string | null;
  environment: Readonly<Record<string, string | undefined>>;
  flags?: Partial<Record<SettingKey, string>>;
}

/** What is wrong with one entry, or with the whole file when `key` is null. */
export interface ConfigProblem {
  section: string | null;
  key: string | null;
  message: string;
  /** For a key that no setting has: the setting that was probably meant. */
  nearest?: string;
}

/**
 * Every setting with its value. A value that its setting does not take throws 'bad-config'. A key that nobody
 * knows is a warning, so that an older version starts on the file of a newer one.
 */
export function loadConfig(sources: ConfigSources & { log: Log }): Config {
  const { entries, unknown } = sources.file === null ? nothing : readConfigFile(sources.file);
  for (const { section, key, message, nearest } of unknown) {
    sources.log.warn('config-unknown-key', { file: sources.file, section, key, message, nearest });
  }
  const values: [string, SettingValue][] = [];
  for (const setting of settings) values.push([setting.name, chooseValue(setting, sources, entries)]);
  return Object.fromEntries(values) as Config;
}

/** Everything that is wrong with a configuration, unknown keys included; empty when all is well. */
export function checkConfig({ file, environment, flags = {} }: ConfigSources): ConfigProblem[] {
  let read: ConfigFile;
  try {
    read = file === null ? nothing : readConfigFile(file);
  } catch (error) {
    if (!(error instanceof HomewardError)) throw error;
    return [{ section: null, key: null, message: error.message }];
  }
  const problems = [...read.unknown];
  for (const setting of settings) {
    try {
      chooseValue(setting, { file, environment, flags }, read.entries);
    } catch (error) {
      if (!(error instanceof HomewardError)) throw error;
      problems.push({ section: setting.section, key: setting.key, message: error.message });
    }
  }
  return problems;
}

/** `WindowHours` is `HOMEWARD_WINDOW_HOURS` in the environment. */
export function environmentName(key: string): string {
  return 'HOMEWARD_' + key.replace(/(?<=[a-z0-9])(?=[A-Z])/g, '_').toUpperCase();
}

type Entries = ReadonlyMap<string, string>;

function chooseValue(setting: Setting, sources: ConfigSources, entries: Entries): SettingValue {
  const variable = environmentName(setting.key);
  const candidates: [string, string | undefined][] = [
    ['by flag', sources.flags?.[setting.key as SettingKey]],
    [`in the environment, ${variable}`, sources.environment[variable]],
    [`in ${sources.file}`, entries.get(setting.key)],
  ];
  for (const [where, text] of candidates) if (text !== undefined) return parseFrom(setting, text, where);
  return parseSetting(setting, setting.default);
}

function parseFrom(setting: Setting, text: string, where: string): SettingValue {
  try {
    return parseSetting(setting, text);
  } catch (error) {
    if (!(error instanceof HomewardError)) throw error;
    throw new HomewardError('bad-config', `${error.message} (set ${where})`, { cause: error });
  }
}

interface ConfigFile {
  entries: Entries;
  unknown: ConfigProblem[];
}
const nothing: ConfigFile = { entries: new Map(), unknown: [] };

function readConfigFile(file: string): ConfigFile {
  const entries = new Map<string, string>();
  const unknown: ConfigProblem[] = [];
  for (const { section, key, text } of parseEntries(readText(file))) {
    const problem = problemWith(section, key);
    if (problem) unknown.push(problem);
    else entries.set(key, text);
  }
  return { entries, unknown };
}

interface Entry {
  section: string | null;
  key: string;
  text: string;
}

/** The entries of an INI text; those before the first section have none. */
function parseEntries(text: string): Entry[] {
  const parsed = ini.parse(text) as Record<string, unknown>;
  const entries: Entry[] = [];
  for (const [name, value] of Object.entries(parsed)) {
    if (typeof value !== 'object' || value === null) {
      entries.push({ section: null, key: name, text: String(value) });
      continue;
    }
    for (const [key, inner] of Object.entries(value)) {
      entries.push({ section: name, key, text: String(inner) });
    }
  }
  return entries;
}

function problemWith(section: string | null, key: string): ConfigProblem | null {
  const setting = settings.find((candidate) => candidate.key === key);
  if (setting && setting.section === section) return null;
  const where = section === null ? 'before any section' : `in [${section}]`;
  if (setting) return { section, key, message: `${key} stands ${where}; it belongs in [${setting.section}]` };
  const nearest = nearestWord(
    key,
    settings.map((candidate) => candidate.key),
  );
  const message = `${key} ${where} is not a setting; the nearest is ${nearest}`;
  return { section, key, message, ...(nearest === null ? {} : { nearest }) };
}

function readText(file: string): string {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') {
      throw new HomewardError('no-such-file', `${file} does not exist`, { cause: error });
    }
    const hint = 'It has to be a file that this user may read.';
    throw new HomewardError('bad-config', `${file} cannot be read (${errnoOf(error)})`, {
      cause: error,
      hint,
    });
  }
}
