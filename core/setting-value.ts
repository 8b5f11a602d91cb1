// How the value of a setting is read from text, and refused.
import path from 'node:path';
import { HomewardError } from './errors.ts';
import { formatKeepRules, parseKeepRules } from './keep-rules.ts';
import type { Setting } from './settings.ts';
import { parseDuration, parseSize, spellDuration, spellSize } from './units.ts';

export type SettingValue = string | number | boolean;

/** The value that `text` spells; throws 'bad-config' with what is expected. */
export function parseSetting(setting: Setting, text: string): SettingValue {
  switch (setting.type) {
    case 'bytes':
    case 'duration':
    case 'integer': {
      const value = parseNumber(setting, text);
      const [least, most] = [parseNumber(setting, setting.least), parseNumber(setting, setting.most)];
      if (value < least || value > most) throw refused(setting, text, expected(setting));
      return value;
    }
    case 'boolean':
      if (/^(yes|true|on|1)$/i.test(text)) return true;
      if (/^(no|false|off|0)$/i.test(text)) return false;
      throw refused(setting, text, expected(setting));
    case 'choice':
      if (!setting.choices.includes(text)) throw refused(setting, text, expected(setting));
      return text;
    case 'path':
      if (text !== '' && !path.isAbsolute(text)) throw refused(setting, text, expected(setting));
      return text;
    case 'keep-rules':
      try {
        return formatKeepRules(parseKeepRules(text));
      } catch (cause) {
        throw refused(setting, text, expected(setting), cause);
      }
    case 'text':
      return text;
  }
}

/** As it may stand in the file: `parseSetting` reads the same from it. */
export function spellSetting(setting: Setting, value: SettingValue): string {
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (typeof value === 'number' && setting.type === 'bytes') return spellSize(value);
  if (typeof value === 'number' && setting.type === 'duration') return spellDuration(value);
  return String(value);
}

/** What may be written, in words. */
export function expected(setting: Setting): string {
  switch (setting.type) {
    case 'bytes':
      return `bytes, or a number with K, M, G or T, from ${setting.least} to ${setting.most}`;
    case 'duration':
      return (
        `a number with ms, s, m, h, d or w (without one: ${setting.unit}), ` +
        `from ${setting.least} to ${setting.most}`
      );
    case 'integer':
      return `a whole number from ${setting.least} to ${setting.most}`;
    case 'boolean':
      return 'yes or no';
    case 'choice':
      return setting.choices.join(', ').replace(/, ([^,]*)$/, ' or $1');
    case 'path':
      return 'an absolute path, or nothing';
    case 'keep-rules':
      return 'none, or NAME=TIME,… with hourly, daily, weekly, monthly, yearly, tags and h, d, w, m or y';
    case 'text':
      return 'any text';
  }
}

function parseNumber(setting: Setting & { type: 'bytes' | 'duration' | 'integer' }, text: string): number {
  try {
    if (setting.type === 'integer') return parseInteger(text);
    if (setting.type === 'bytes') return text.trim() === '0' ? 0 : parseSize(text);
    return parseDuration(/^[\d.]+$/.test(text) ? text + setting.unit : text);
  } catch (error) {
    throw refused(setting, text, expected(setting), error);
  }
}

function parseInteger(text: string): number {
  const value = /^[+-]?\d+$/.test(text) ? Number(text) : NaN;
  if (!Number.isSafeInteger(value)) throw new RangeError(`${text} is not a whole number`);
  return value;
}

function refused(setting: Setting, text: string, what: string, cause?: unknown): HomewardError {
  return new HomewardError('bad-config', `${setting.key} cannot be "${text}": it is ${what}`, { cause });
}
