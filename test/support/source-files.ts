// The files of this checkout, for tests that hold the source to its own rules.
import fs from 'node:fs';
import path from 'node:path';

export interface SourceFile {
  /** From the root of the checkout, with `/`. */
  path: string;
  text: string;
  lines: string[];
}

export const root = path.resolve(import.meta.dirname, '../..');

const leftOut = new Set(['node_modules', '.git', '.tap']);

/** Every file whose name ends in one of `endings`, in order of their paths. */
export function sourceFiles(endings: readonly string[]): SourceFile[] {
  return fs
    .readdirSync(root, { recursive: true, withFileTypes: true })
    .map((entry) => ({ entry, file: path.relative(root, path.join(entry.parentPath, entry.name)) }))
    .filter(({ entry, file }) => entry.isFile() && !file.split(path.sep).some((part) => leftOut.has(part)))
    .filter(({ entry }) => endings.some((ending) => entry.name.endsWith(ending)))
    .map(({ file }) => ({ path: file, ...read(path.join(root, file)) }))
    .toSorted((a, b) => (a.path < b.path ? -1 : 1));
}

function read(file: string): { text: string; lines: string[] } {
  const text = fs.readFileSync(file, 'utf8');
  return { text, lines: text.split('\n') };
}

/** What a file imports: paths from the root of the checkout, or names of packages. */
export function importsOf(file: SourceFile): string[] {
  const statements = /^\s*(?:import|export)\s[^'\n]*(?:\n[^'\n;]*)*?from '([^']+)'|^import '([^']+)'/gm;
  const calls = /import\(\s*'([^']+)'\s*\)/g;
  const found = [...file.text.matchAll(statements), ...file.text.matchAll(calls)];
  return found.map(([, from, bare]) => {
    const name = from ?? bare ?? '';
    return name.startsWith('.') ? path.join(path.dirname(file.path), name) : name;
  });
}

export interface FunctionSpan {
  name: string;
  line: number;
  length: number;
}

const startsFunction = [
  /^\s*(?:export )?(?:async )?function\*? ?(\w+)/,
  /^\s*(?:export )?(?:const )?([\w.]+).*=> \{$/,
  /^\s*(?:(?:override|static|private|async|get|set) )*\*?([#\w]+)\(.*\{$/,
  /^\s*([\w.]+)\(.*=> \{$/,
];
const statement = /^\s*(?:\} )?(?:if|for|while|switch|catch|else|do|try|return|with)\b/;

/** Functions by their indentation: from the line that opens one to the `}` below it. A heuristic. */
export function functionsOf({ lines }: SourceFile): FunctionSpan[] {
  const spans: FunctionSpan[] = [];
  for (const [at, line] of lines.entries()) {
    if (statement.test(line)) continue;
    const match = startsFunction.map((pattern) => pattern.exec(line)).find((found) => found !== null);
    if (!match) continue;
    const indent = /^\s*/.exec(line)?.[0] ?? '';
    const end = lines.findIndex((other, index) => index > at && other.startsWith(`${indent}}`));
    if (end !== -1) spans.push({ name: match[1] ?? '', line: at + 1, length: end - at + 1 });
  }
  return spans;
}
