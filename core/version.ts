// The version of what is installed here.
import fs from 'node:fs';

/** From the package.json that lies beside the programs. */
export function readVersion(): string {
  const text = fs.readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  const { version } = JSON.parse(text) as { version: string };
  return version;
}
