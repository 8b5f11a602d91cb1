// Which files of the npm packages stay behind: what no program of ours reads when it runs.

/** Directories at the top of any package that hold tests, documents or what was compiled from. */
const directories = new Set([
  ...['test', 'tests', '__tests__', 'example', 'examples', 'benchmark', 'benchmarks', 'bench'],
  ...['docs', 'doc', '.github', '.vscode', 'coverage', 'integration', 'man', 'types', 'typings'],
]);

/** Further directories, by package; each was looked at: nothing of it is loaded. */
const ofPackage: Record<string, readonly string[]> = {
  '@koromix/koffi-linux-x64': ['musl_x64'],
  ajv: ['lib'],
  koffi: ['lib', 'vendor'],
  tsyringe: ['dist/esm2015', 'dist/esm5'],
  zod: ['src'],
};

const endings = new Set([
  ...['ts', 'cts', 'mts', 'map', 'md', 'markdown', 'flow', 'tgz', 'html', 'css', 'yml', 'yaml', 'lock'],
  ...['png', 'gif', 'svg', 'h', 'hh', 'c', 'cc', 'cpp', 's', 'asm', 'inc', 'def', 'cmake', 'sh'],
]);
const names = new Set([
  'tsconfig.json',
  'makefile',
  'bun.lock',
  'package-lock.json',
  'cmakelists.txt',
  'cnoke.cjs',
]);

/**
 * `file` is a path below `node_modules`, with `/`. Licences always stay, with the packages that they are of.
 */
export function isLeftOut(file: string): boolean {
  const { owner, inside } = splitPackage(file);
  // npm's own notes.
  if (inside === '') return true;
  const name = inside.split('/').at(-1) ?? '';
  if (/^(?:licen[cs]e|copying|notice)/i.test(name)) return false;
  const top = inside.split('/')[0] ?? '';
  if (inside.includes('/') && directories.has(top)) return true;
  if ((ofPackage[owner] ?? []).some((directory) => inside.startsWith(`${directory}/`))) return true;
  const ending = /\.([^.]*)$/.exec(name)?.[1] ?? '';
  return endings.has(ending.toLowerCase()) || names.has(name.toLowerCase()) || /(?:^|\/)\./.test(inside);
}

/** The innermost package that a file is of, and its path in there. */
export function splitPackage(file: string): { owner: string; inside: string } {
  const last = file.split(/(?:^|\/)node_modules\//).at(-1) ?? file;
  const parts = last.split('/');
  const count = last.startsWith('@') ? 2 : 1;
  return { owner: parts.slice(0, count).join('/'), inside: parts.slice(count).join('/') };
}
