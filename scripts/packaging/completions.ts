// share/completions: what bash, zsh and fish offer after `homeward`, from the program's own definition.
import fs from 'node:fs';
import path from 'node:path';
import { bashCompletion } from './completion-bash.ts';
import { fishCompletion } from './completion-fish.ts';
import { zshCompletion } from './completion-zsh.ts';
import { commandSpec } from './command-spec.ts';

export function writeCompletions(directory: string): void {
  fs.mkdirSync(directory, { recursive: true });
  const spec = commandSpec();
  fs.writeFileSync(path.join(directory, 'homeward'), bashCompletion(spec));
  fs.writeFileSync(path.join(directory, '_homeward'), zshCompletion(spec));
  fs.writeFileSync(path.join(directory, 'homeward.fish'), fishCompletion(spec));
}
