// The files of a tree in the order of their names, and their modes made the same wherever it was built.
import fs from 'node:fs';
import path from 'node:path';

/** Paths below `directory`, with `/`, in the order of their bytes; links are files, directories are not. */
export function filesBelow(directory: string): string[] {
  return [...walk(directory, '')]
    .filter(({ entry }) => !entry.isDirectory())
    .map(({ file }) => file)
    .toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}

/** The same without links. */
export function regularFilesBelow(directory: string): string[] {
  return filesBelow(directory).filter((file) => fs.lstatSync(path.join(directory, file)).isFile());
}

/** Directories and programs 0755, other files 0644: a umask of the builder's does not show. */
export function normaliseModes(directory: string): void {
  fs.chmodSync(directory, 0o755);
  for (const { entry, file } of walk(directory, '')) {
    if (entry.isSymbolicLink()) continue;
    const runs = entry.isDirectory() || isProgram(directory, file);
    fs.chmodSync(path.join(directory, file), runs ? 0o755 : 0o644);
  }
}

/** npm packages mark all sorts of files as executable; only scripts and programs of ours are run as such. */
function isProgram(directory: string, file: string): boolean {
  if (file.includes('node_modules/')) return false;
  return (fs.statSync(path.join(directory, file)).mode & 0o100) !== 0;
}

/** Readdir's own recursion would go into directories that links lead to. */
function* walk(directory: string, below: string): Generator<{ entry: fs.Dirent; file: string }> {
  for (const entry of fs.readdirSync(path.join(directory, below), { withFileTypes: true })) {
    const file = path.join(below, entry.name);
    yield { entry, file };
    if (entry.isDirectory()) yield* walk(directory, file);
  }
}

/** What empty directories there are goes: they say nothing, and what was pruned leaves them. */
export function removeEmptyDirectories(directory: string): void {
  for (const entry of fs.readdirSync(directory, { withFileTypes: true })) {
    if (entry.isDirectory()) removeEmptyDirectories(path.join(directory, entry.name));
  }
  if (fs.readdirSync(directory).length === 0) fs.rmdirSync(directory);
}
