// Counts the tests of a TAP file and lists what failed and what was skipped; the last line is the sum.
import fs from 'node:fs';
import { Parser, type Result } from 'tap-parser';

export interface Failure {
  /** From the file down to the test. */
  name: string;
  /** The first assertion that failed, with what it said. */
  why?: string;
}

export interface Counts {
  passed: number;
  failed: Failure[];
  skipped: { name: string; reason: string }[];
}

/** What was seen so far below one test (or one file). */
interface Level {
  subtests: number;
  failedSubtests: number;
  passedAsserts: number;
  failedAsserts: number;
  skips: number;
  why?: string;
}

/**
 * A test is a block without blocks inside; its assertions are not counted, but a skipped one is. A block with
 * blocks counts only when it failed by itself: an assertion of its own, a wrong plan, a process that died.
 */
export function countTests(tap: string): Counts {
  const counts: Counts = { passed: 0, failed: [], skipped: [] };
  const parser = new Parser();
  watchLevel(parser, counts);
  parser.end(tap);
  if (parser.bailedOut !== false)
    counts.failed.push({ name: `the run as a whole: bailed out: ${parser.bailedOut}` });
  const nothing = counts.passed + counts.failed.length + counts.skipped.length === 0;
  if (nothing || (!parser.ok && counts.failed.length === 0))
    counts.failed.push({ name: 'the run as a whole' });
  return counts;
}

function watchLevel(parser: Parser, counts: Counts): Level {
  const level: Level = { subtests: 0, failedSubtests: 0, passedAsserts: 0, failedAsserts: 0, skips: 0 };
  let inside: Level | null = null;
  parser.on('child', (child: Parser) => {
    inside = watchLevel(child, counts);
  });
  parser.on('assert', (result: Result) => {
    if (result.skip !== false || result.todo !== false) {
      level.skips += 1;
      counts.skipped.push({ name: nameOf(result), reason: reasonOf(result) });
    } else if (inside === null) {
      level[result.ok ? 'passedAsserts' : 'failedAsserts'] += 1;
      if (!result.ok) level.why ??= whyOf(result);
    } else {
      level.subtests += 1;
      if (!result.ok) level.failedSubtests += 1;
      countTest(result, inside, counts);
    }
    inside = null;
  });
  return level;
}

function countTest(result: Result, inside: Level, counts: Counts): void {
  const ownFailure = inside.failedSubtests === 0 || inside.failedAsserts > 0;
  const onlySkips = inside.skips > 0 && inside.passedAsserts === 0;
  if (!result.ok) {
    if (ownFailure) counts.failed.push(failureOf(result, inside.why));
  } else if (inside.subtests === 0 && !onlySkips) {
    counts.passed += 1;
  }
}

function nameOf({ fullname, name }: Result): string {
  return fullname === '' || fullname.endsWith(name) ? fullname || name : `${fullname} > ${name}`;
}

function failureOf(result: Result, why = whyOf(result)): Failure {
  return why === '' ? { name: nameOf(result) } : { name: nameOf(result), why };
}

const longestWhy = 2_000;

/** The assertion's message and what tap adds to it, cut short. */
function whyOf({ name, diag }: Result): string {
  if (diag === null) return '';
  const text = `${name}\n${JSON.stringify(diag, null, 1)}`;
  return text.length > longestWhy ? `${text.slice(0, longestWhy)} …` : text;
}

function reasonOf({ skip, todo }: Result): string {
  if (typeof skip === 'string') return skip;
  return typeof todo === 'string' ? `to do: ${todo}` : 'no reason given';
}

/** A check that is no TAP, `name=exit status`, counts as one test. */
export function countCheck(check: string, counts: Counts): void {
  const at = check.lastIndexOf('=');
  if (check.slice(at + 1) === '0') counts.passed += 1;
  else counts.failed.push({ name: check.slice(0, at) });
}

/** The runner's own exit status must not be lost when no test says why. */
function countRunner(status: string, counts: Counts): void {
  if (status !== '0' && counts.failed.length === 0) counts.failed.push({ name: 'the run as a whole' });
}

export function formatCounts({ passed, failed, skipped }: Counts): string {
  const list = (title: string, lines: string[]): string =>
    lines.length === 0 ? '' : `${title}:\n${lines.map((line) => `  ${line}\n`).join('')}`;
  return (
    list(
      'Skipped',
      skipped.map(({ name, reason }) => `${name}: ${reason}`),
    ) +
    list(
      'Failed',
      failed.flatMap(({ name, why }) => [name, ...(why?.split('\n').map((line) => `  ${line}`) ?? [])]),
    ) +
    `${passed} passed, ${failed.length} failed, ${skipped.length} skipped\n`
  );
}

if (import.meta.main) {
  const [file = '', status = '', ...checks] = process.argv.slice(2);
  const counts = fs.existsSync(file)
    ? countTests(fs.readFileSync(file, 'utf8'))
    : countTests('Bail out! no results\n');
  countRunner(status, counts);
  for (const check of checks) countCheck(check, counts);
  process.stdout.write(formatCounts(counts));
  process.exitCode = counts.failed.length === 0 ? 0 : 1;
}
