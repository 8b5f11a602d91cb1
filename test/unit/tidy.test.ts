// The source keeps its own rules: sizes, layers, names, documented errors.
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { errorTable } from '../../core/errors.ts';
import { functionsOf, importsOf, root, sourceFiles, type SourceFile } from '../support/source-files.ts';

const files = sourceFiles(['.ts']);
const programs = files.filter(({ path: file }) => !/^(?:test|bench|scripts)\//.test(file));
const edges = programs.flatMap((file) => importsOf(file).map((target) => ({ from: file.path, to: target })));

const roomOf = (file: string): string => file.split('/')[0] ?? '';
const ours = new Set(programs.map(({ path: file }) => roomOf(file)));
const format = ({ from, to }: { from: string; to: string }): string => `${from} imports ${to}`;

/** `path:line: what` for each line that `wrong` says something about. */
function linesThat(among: SourceFile[], wrong: (line: string) => string | null): string[] {
  return among.flatMap(({ path: file, lines }) =>
    lines.flatMap((line, at) => {
      const what = wrong(line);
      return what === null ? [] : [`${file}:${at + 1}: ${what}`];
    }),
  );
}

t.test('no line is longer than 110 characters', async (t) => {
  t.same(
    linesThat(files, (line) => (line.length > 110 ? `${line.length} characters` : null)),
    [],
  );
});

t.test('no file is longer than 400 lines, no function longer than 60', async (t) => {
  t.same(
    files
      .filter(({ lines }) => lines.length > 401)
      .map(({ path: file, lines }) => `${file}: ${lines.length}`),
    [],
  );
  t.same(
    files.flatMap((file) =>
      functionsOf(file)
        .filter(({ length }) => length > 60)
        .map(({ name, line, length }) => `${file.path}:${line}: ${name} has ${length} lines`),
    ),
    [],
  );
});

t.test('each file opens with a comment that says what it is for', async (t) => {
  t.same(
    files
      .filter(({ lines }) => !/^\/\/ \S.{10,}/.test(lines[lines[0]?.startsWith('#!') ? 1 : 0] ?? ''))
      .map(({ path: file }) => file),
    [],
  );
});

t.test('files are named in kebab-case, for what they hold', async (t) => {
  const name = /^[a-z0-9]+(?:-[a-z0-9]+)*(?:\.test)?\.ts$/;
  t.same(
    files.filter(({ path: file }) => !name.test(path.basename(file))).map(({ path: file }) => file),
    [],
  );
  const empty = /(?:^|-)(?:utils?|helpers?|common|manager|misc)\.ts$/;
  t.same(
    files.filter(({ path: file }) => empty.test(file)).map(({ path: file }) => file),
    [],
  );
});

t.test('imports of files carry .ts', async (t) => {
  const relative = files
    .flatMap((file) => importsOf(file).map((target) => ({ from: file.path, to: target })))
    .filter(({ to }) => to.includes('/') && ours.has(roomOf(to)));
  t.ok(relative.length > 0);
  t.same(relative.filter(({ to }) => !to.endsWith('.ts')).map(format), []);
});

t.test('core imports no program', async (t) => {
  t.same(
    edges
      .filter(({ from, to }) => roomOf(from) === 'core' && ours.has(roomOf(to)) && roomOf(to) !== 'core')
      .map(format),
    [],
  );
});

t.test(
  'a program imports no other, except its client; only cli imports main.ts, and nobody imports cli',
  async (t) => {
    const foreign = edges.filter(
      ({ from, to }) => roomOf(from) !== roomOf(to) && ours.has(roomOf(to)) && roomOf(to) !== 'core',
    );
    const allowed = ({ from, to }: { from: string; to: string }): boolean =>
      roomOf(to) !== 'cli' &&
      (path.basename(to) === 'client.ts' || (roomOf(from) === 'cli' && to === `${roomOf(to)}/main.ts`));
    t.same(foreign.filter((edge) => !allowed(edge)).map(format), []);
  },
);

t.test('inside agent each layer imports only those below it', async (t) => {
  const layers = [
    ['journal', 'replica'],
    ['prerequisites', 'registration', 'ingest', 'retention', 'recovery'],
    ['control'],
    ['daemon'],
    ['main.ts'],
  ];
  // What lies beside main.ts puts the rooms together: the daemon.
  const roomInside = (file: string): string =>
    /^agent\/[^/]+$/.test(file) && file !== 'agent/main.ts' ? 'daemon' : (file.split('/')[1] ?? '');
  const layerOf = (file: string): number => layers.findIndex((layer) => layer.includes(roomInside(file)));
  // The words of the service, types alone, are everybody's.
  const words = 'agent/control/service.ts';
  const inside = edges.filter(
    ({ from, to }) => from.startsWith('agent/') && to.startsWith('agent/') && to !== words,
  );
  t.same(edges.filter(({ from, to }) => from === words && roomOf(to) !== 'core').map(format), []);
  t.same(inside.filter(({ from, to }) => layerOf(from) < layerOf(to)).map(format), []);
  t.same(
    programs
      .filter(({ path: file }) => /^agent\/[^/]+\//.test(file) && layerOf(file) === -1)
      .map(({ path: file }) => file),
    [],
    'and every room has its layer',
  );
});

t.test('koffi is imported in core/linux.ts alone', async (t) => {
  t.same(edges.filter(({ from, to }) => to === 'koffi' && from !== 'core/linux.ts').map(format), []);
});

t.test('the process is ended in main.ts alone', async (t) => {
  const elsewhere = programs.filter(({ path: file }) => path.basename(file) !== 'main.ts');
  t.same(
    linesThat(elsewhere, (line) => (/\bprocess\.exit\(/.test(line) ? line.trim() : null)),
    [],
  );
});

t.test("no file names a path of a developer's machine", async (t) => {
  const texts = sourceFiles([
    '.ts',
    '.md',
    '.json',
    '.yml',
    '.sh',
    'scripts/test',
    'scripts/demo',
    'run',
    'homeward',
  ]);
  t.same(
    linesThat(texts, (line) => /\/(?:home|Users|work)\/[a-z]/.exec(line)?.[0] ?? null),
    [],
  );
});

t.test('docs/errors.md and the table of errors say the same', async (t) => {
  const rows = fs
    .readFileSync(path.join(root, 'docs/errors.md'), 'utf8')
    .split('\n')
    .map((line) => /^\| `([a-z-]+)` \| (\d+) \| (.+) \| (.+) \|$/.exec(line))
    .filter((match) => match !== null)
    .map(([, code = '', exit, , hint]) => ({ code, exit: Number(exit), hint }));
  const table = Object.entries(errorTable).map(([code, { exit, hint }]) => ({ code, exit, hint }));
  const order = (a: { code: string }, b: { code: string }): number => (a.code < b.code ? -1 : 1);
  t.same(rows.toSorted(order), table.toSorted(order));
});
