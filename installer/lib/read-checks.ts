// For install.sh, which reads no JSON: the report of `homeward check --json` on stdin becomes three lines of
// ids (what blocks, what of that cannot be accepted, what is to be installed), one of packages that
// were installed, and a table.
// usage: read-checks.ts table|again COLUMNS
import fs from 'node:fs';

interface Item {
  id: string;
  severity: string;
  result: 'pass' | 'fail' | 'warn' | 'skipped';
  found: string;
  action: string | null;
  accepted: { because: string } | null;
  blocks: boolean;
  fixed: string | null;
}

type Row = readonly [string, string, string];

const words = { pass: 'OK', fail: 'FAILED', warn: 'WARNING', skipped: '-' };

/** As wide as the terminal; on a narrow one the corrective action stands below its check. */
function table(items: readonly Item[], columns: number): string {
  if (items.length === 0) return 'Nothing is open.';
  const rows = items.map(rowOf);
  const [first, second] = [0, 1].map((at) =>
    Math.max(...[heading, ...rows].map((row) => row[at]?.length ?? 0)),
  );
  const rest = columns - (first ?? 0) - (second ?? 0) - 7;
  if (rest < 24) return rows.map((row) => narrow(row, columns)).join('\n');
  const widths = [first ?? 0, second ?? 0, rest] as const;
  const line = widths.map((width) => '-'.repeat(width)).join('-+-');
  return [wide(heading, widths), line, ...rows.map((row) => wide(row, widths))].join('\n');
}

const heading: Row = ['Check', 'Result', 'Corrective action'];

function rowOf({ id, result, found: what, action, accepted, fixed }: Item): Row {
  const word = accepted === null ? words[result] : 'accepted';
  const found = fixed === null ? what : `${fixed}; ${what}`;
  if (accepted !== null) return [id, word, `${found} (${accepted.because})`];
  return [id, word, result === 'pass' || action === null ? found : `${found}. ${action}`];
}

function wide([first, second, third]: Row, [a, b, c]: readonly [number, number, number]): string {
  return wrap(third, c)
    .map(
      (text, at) => `${(at === 0 ? first : '').padEnd(a)} | ${(at === 0 ? second : '').padEnd(b)} | ${text}`,
    )
    .join('\n');
}

function narrow([first, second, third]: Row, columns: number): string {
  const below = wrap(third, Math.max(columns - 2, 20)).map((text) => `  ${text}`);
  return [`${first}: ${second}`, ...below].join('\n');
}

/** At blanks where there are any; a path that is too long is cut. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let left = text.trim();
  while (left.length > width) {
    const blank = left.lastIndexOf(' ', width);
    const at = blank > 0 ? blank : width;
    lines.push(left.slice(0, at));
    left = left.slice(at).trimStart();
  }
  return [...lines, left];
}

const [what = 'table', columns = '100'] = process.argv.slice(2);
const { checks } = JSON.parse(fs.readFileSync(0, 'utf8')) as { checks: Item[] };
const idsThat = (wanted: (item: Item) => boolean): string =>
  checks
    .filter(wanted)
    .map(({ id }) => id)
    .join(' ');
const packages = new Set(['packages', 'source-filesystems']);
/** After something was put right: that, and what is still open. */
const isNews = ({ result, fixed }: Item): boolean => fixed !== null || result === 'fail' || result === 'warn';
const isMissing = ({ id, result }: Item): boolean =>
  packages.has(id) && (result === 'fail' || result === 'warn');
/** As the fix of packages says it: `installed perl, rsync`. */
const installedBy = ({ id, fixed }: Item): string[] =>
  packages.has(id) && fixed !== null ? (/^installed (.+)$/.exec(fixed)?.slice(1) ?? []) : [];
process.stdout.write(
  [
    idsThat(({ blocks }) => blocks),
    idsThat(({ blocks, severity }) => blocks && severity === 'hard'),
    idsThat(isMissing),
    checks.flatMap(installedBy).join(', '),
    table(what === 'again' ? checks.filter(isNews) : checks, Number(columns)),
    '',
  ].join('\n'),
);
