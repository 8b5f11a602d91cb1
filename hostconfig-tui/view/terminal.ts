// What the terminal can do, from what the environment says of it.
import type { Size } from '../model/model.ts';
import type { Look } from '../model/look.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** Real terminals and consoles behind a serial line: whoever reads them there may not read UTF-8. */
const withoutLines = /^(?:vt\d|dumb|ansi|unknown|network|dialup|su$|cons)/;
const withoutColour = /^(?:vt\d|dumb|unknown|network|dialup|su$)/;

export function lookOf(environment: Environment): Look {
  const terminal = (environment['TERM'] ?? '').toLowerCase();
  const isPlain = terminal === '' || terminal === 'dumb' || terminal === 'unknown';
  return {
    lines: isUtf8(environment) && terminal !== '' && !withoutLines.test(terminal),
    attributes: !isPlain,
    // https://no-color.org: present and not empty.
    colour: (environment['NO_COLOR'] ?? '') === '' && !isPlain && !withoutColour.test(terminal),
  };
}

/** The first of these that is set and not empty counts (POSIX, 8.2). */
export function isUtf8(environment: Environment): boolean {
  const names = ['LC_ALL', 'LC_CTYPE', 'LANG'] as const;
  const locale = names.map((name) => environment[name] ?? '').find((value) => value !== '') ?? '';
  return /utf-?8/i.test(locale);
}

/** A serial line says 0 by 0, or nothing: then it is taken for the usual one. */
export function sizeOf(columns: number | undefined, rows: number | undefined): Size {
  const known = (columns ?? 0) > 0 && (rows ?? 0) > 0;
  return known ? { columns: columns ?? 80, rows: rows ?? 24 } : { columns: 80, rows: 24 };
}

/**
 * Text as a terminal may get it: what it would obey, and what does not take exactly one column there, becomes
 * a question mark; without UTF-8 everything but ASCII.
 */
export const forTerminal = (text: string, utf8: boolean): string =>
  text.replaceAll(utf8 ? notOneColumn : /[^\x20-\x7e]/gu, '?');

const notOneColumn = new RegExp(
  String.raw`[\p{C}\p{Zl}\p{Zp}\p{M}\p{Emoji_Presentation}\u{10000}-\u{10ffff}` +
    String.raw`\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]`,
  'gu',
);
