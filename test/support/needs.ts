// What a test needs of the machine it runs on; without it the test is skipped, with the reason in words.
import fs from 'node:fs';
import path from 'node:path';

export interface Needs {
  root?: boolean;
  /** Programs that have to be on the PATH. */
  commands?: readonly string[];
  /** Files or devices that have to be there, such as /dev/fuse. */
  files?: readonly string[];
  /** Takes minutes or a virtual machine: left out of `scripts/test --quick`. */
  full?: boolean;
}

/** For tap's `skip`: false when everything is there, else why not. `--quick` runs nothing that needs root. */
export function skipUnless({ root = false, commands = [], files = [], full = false }: Needs): string | false {
  const quick = process.env['HOMEWARD_TEST'] === 'quick';
  if (quick && (full || root)) return 'left out of --quick';
  if (root && process.geteuid?.() !== 0) return 'needs root';
  const missingCommand = commands.find((command) => !isOnPath(command));
  if (missingCommand !== undefined) return `needs the program ${missingCommand}`;
  const missingFile = files.find((file) => !fs.existsSync(file));
  return missingFile === undefined ? false : `needs ${missingFile}`;
}

function isOnPath(command: string): boolean {
  const directories = [...(process.env['PATH'] ?? '').split(path.delimiter), '/usr/sbin', '/sbin'];
  return directories.some((directory) => fs.existsSync(path.join(directory, command)));
}
