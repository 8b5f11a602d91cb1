// `drscout.conf`: read for the screen, changed without touching what else stands in it.
import fs from 'node:fs';
import path from 'node:path';
import ini from 'ini';
import { syncDirectorySync, writeAtomicFile } from '../../core/atomic-file.ts';
import { loadConfig, type Config } from '../../core/config.ts';
import { ensureDirectorySync } from '../../core/directory.ts';
import { errnoOf, HomewardError } from '../../core/errors.ts';
import { silentLog } from '../../core/log.ts';
import { parseSetting } from '../../core/setting-value.ts';
import { settings } from '../../core/settings.ts';
import type { Changes } from '../model/model.ts';

/** What the file says, or the defaults. The environment of this shell is not that of the daemon. */
export function readSettings(file: string): Config {
  const known = isThere(file) ? file : null;
  return loadConfig({ file: known, environment: {}, log: silentLog });
}

/** Whoever may not read it must not take the defaults for what is set. */
function isThere(file: string): boolean {
  try {
    fs.accessSync(file, fs.constants.R_OK);
    return true;
  } catch (error) {
    const errno = errnoOf(error) ?? 'unknown';
    if (errno === 'ENOENT' || errno === 'ENOTDIR') return false;
    throw new HomewardError('not-writable', `${file} cannot be read: ${errno}`, {
      cause: error,
      hint: asRoot,
    });
  }
}

const asRoot = 'Run hostconfigcli as root (sudo).';

/**
 * Puts the changes into the file, durably and as a whole; it keeps its mode and owner. Throws 'bad-config'
 * for a value that its setting does not take, 'not-writable' when it is not ours to write.
 */
export function writeSettings(file: string, changes: Changes): void {
  checkChanges(changes);
  try {
    replace(realPath(file), changes);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'EACCES' || errno === 'EPERM' || errno === 'EROFS') throw notOurs(file, errno, error);
    throw error;
  }
}

/** Throws 'bad-config' for a value that its setting does not take. */
export function checkChanges(changes: Changes): void {
  for (const [key, value] of Object.entries(changes)) {
    const setting = settings.find((each) => each.key === key);
    if (setting === undefined) throw new HomewardError('bug', `${key} is no setting`);
    parseSetting(setting, value);
  }
}

function replace(file: string, changes: Changes): void {
  const made = ensureDirectorySync(path.dirname(file));
  if (made !== null) syncDirectorySync(path.dirname(made));
  const before = fs.statSync(file, { throwIfNoEntry: false });
  const text = before === undefined ? '' : fs.readFileSync(file, 'utf8');
  const changed = changeEntries(text, changes);
  if (changed === text) return;
  const mode = (before?.mode ?? 0o640) & 0o777;
  writeAtomicFile(file, changed, mode);
  // The group of the services may be the one that reads it.
  const isOurs =
    before === undefined || (before.uid === process.geteuid?.() && before.gid === process.getegid?.());
  if (!isOurs) fs.chownSync(file, before.uid, before.gid);
  // Whatever the umask of whoever runs this.
  fs.chmodSync(file, mode);
}

/** A link stays a link. */
const realPath = (file: string): string => (fs.existsSync(file) ? fs.realpathSync(file) : file);

/**
 * The text with these entries: in the line where each stands, else at the end of its section, which is made
 * where it is missing. Comments, order and what nobody knows stay. Throws 'bad-config' for what the file
 * cannot hold.
 */
export function changeEntries(text: string, changes: Changes): string {
  let lines = text === '' ? [] : text.replace(/\r?\n$/, '').split(/\r?\n/);
  for (const [key, value] of Object.entries(changes)) {
    const section = settings.find((each) => each.key === key)?.section ?? 'homeward';
    lines = withEntry(lines, section, key, `${key} = ${ini.safe(value)}`.trimEnd());
  }
  const changed = lines.map((line) => `${line}\n`).join('');
  checkReadBack(changed, changes);
  return changed;
}

/** Some quotation marks and backslashes have no spelling in the file that every reader takes alike. */
function checkReadBack(text: string, changes: Changes): void {
  const sections = Object.values(ini.parse(text) as Record<string, Record<string, unknown>>);
  for (const [key, value] of Object.entries(changes)) {
    if (sections.some((section) => typeof section === 'object' && section[key] === value)) continue;
    throw new HomewardError(
      'bad-config',
      `${key} cannot be ${JSON.stringify(value)}: it has no spelling in the file`,
    );
  }
}

function withEntry(lines: readonly string[], section: string, key: string, entry: string): string[] {
  const header = lines.findIndex((line) => sectionOf(line) === section);
  if (header === -1) return [...lines, ...(lines.length === 0 ? [] : ['']), `[${section}]`, entry];
  const next = lines.findIndex((line, at) => at > header && sectionOf(line) !== null);
  const end = next === -1 ? lines.length : next;
  // Of an entry that stands twice the last one counts.
  const own = lines.findLastIndex((line, at) => at > header && at < end && keyOf(line) === key);
  if (own !== -1) return lines.with(own, entry);
  const last = lines.findLastIndex((line, at) => at < end && (at === header || line.trim() !== ''));
  return lines.toSpliced(Math.max(last, header) + 1, 0, entry);
}

const sectionOf = (line: string): string | null => /^\s*\[([^\]]*)\]/.exec(line)?.[1]?.trim() ?? null;
const keyOf = (line: string): string | null => /^\s*([^\s;#=[][^=]*?)\s*(?:=|$)/.exec(line)?.[1] ?? null;

function notOurs(file: string, errno: string, cause: unknown): HomewardError {
  return new HomewardError('not-writable', `${file} cannot be written: ${errno}`, {
    cause,
    hint: errno === 'EROFS' ? 'Its file system is mounted read-only.' : asRoot,
  });
}

/** Before anything is asked or contacted: whoever may not save would find out last. Throws 'not-writable'. */
export function checkWritable(file: string): void {
  let directory = path.dirname(fs.existsSync(file) ? fs.realpathSync(file) : file);
  while (!fs.existsSync(directory)) directory = path.dirname(directory);
  try {
    fs.accessSync(directory, fs.constants.W_OK);
  } catch (error) {
    throw notOurs(file, errnoOf(error) ?? 'unknown', error);
  }
}
