// Completion as bash itself does it, with the file that ships; machines come from a command that answers.
import fs from 'node:fs';
import path from 'node:path';
import { spawn as spawnTerminal } from 'node-pty';
import t, { type Test } from 'tap';
import { writeCompletions } from '../../scripts/packaging/completions.ts';
import { commandSpec, everyCommand } from '../../scripts/packaging/command-spec.ts';
import { run, runOk, until } from '../support/homeward.ts';
import { skipUnless } from '../support/needs.ts';
import { temporaryDirectory } from '../support/temporary.ts';

/** What `homeward status --json` says, as far as a completion reads it. */
const status = JSON.stringify({
  machines: [
    { id: '0198a1c2', name: 'web', disks: [{ name: 'root', size: 1 }] },
    { id: '0198a1c3', name: 'web-db', disks: [] },
  ],
});

interface Shell {
  /** What is offered at the end of a line that has been typed. */
  offered(line: string): Promise<string[]>;
}

/** The completions in a directory with a few files, and a `homeward` that answers with a line of sh. */
function installed(directory: string, answer: string): { file: string; program: string } {
  writeCompletions(directory);
  const program = path.join(directory, 'bin/homeward');
  fs.mkdirSync(path.dirname(program));
  fs.writeFileSync(program, `#!/bin/sh\n${answer}\n`, { mode: 0o755 });
  for (const name of ['drscout.conf', 'disk.img']) fs.writeFileSync(path.join(directory, name), '');
  fs.mkdirSync(path.join(directory, 'retention'));
  return { file: path.join(directory, 'homeward'), program };
}

function bash(t: Test, answer: string): Shell {
  const directory = temporaryDirectory(t);
  const { file, program } = installed(directory, answer);
  const script = path.join(directory, 'complete.sh');
  // Bash calls the function like this; compopt works only while it does.
  fs.writeFileSync(
    script,
    `. ${file}
compopt() { :; }
COMP_LINE=$1 COMP_POINT=\${#1}
read -r -a COMP_WORDS <<<"$1"
case $1 in *' ') COMP_WORDS+=('') ;; esac
COMP_CWORD=$((\${#COMP_WORDS[@]} - 1))
_homeward homeward "\${COMP_WORDS[COMP_CWORD]}" "\${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\\n' "\${COMPREPLY[@]}"
`,
  );
  const env = { PATH: `${path.dirname(program)}:/usr/bin:/bin` };
  return {
    offered: async (line) => {
      const out = await runOk('bash', ['--norc', script, line], { env, cwd: directory });
      return out.split('\n').filter(Boolean).toSorted();
    },
  };
}

interface Terminal {
  type(text: string): void;
  shows(text: string): Promise<void>;
  /** Types it, waits for what it becomes, and throws the line away. */
  becomes(typed: string, whole: string): Promise<void>;
}

function terminal(t: Test, program: string, args: string[], options: { cwd: string; env: Env }): Terminal {
  const shell = spawnTerminal(program, args, { cols: 120, ...options });
  t.teardown(() => shell.kill('SIGKILL'));
  let screen = '';
  shell.onData((piece) => (screen += piece));
  const shows = (text: string): Promise<void> =>
    until(`"${text}" on the screen`, () => screen.replaceAll(drawing, '').includes(text));
  const type = (text: string): void => shell.write(text);
  const becomes = async (typed: string, whole: string): Promise<void> => {
    screen = '';
    type(typed);
    await shows(whole).catch((error: Error) => {
      throw new Error(`${error.message}: ${JSON.stringify(screen)}`, { cause: error });
    });
    t.pass(whole);
    type('\x15\n');
  };
  return { type, shows, becomes };
}

type Env = Record<string, string>;

/** Escape sequences, bells, and what is gone back over. */
const drawing = new RegExp(String.raw`\x1b\[[\d;?]*[A-Za-z]|\x07|.\x08`, 'g');

t.test('bash completes', async (t) => {
  const { offered } = bash(t, `printf '%s\\n' '${status}'`);

  await t.test('verbs, and the verbs below them', async (t) => {
    const verbs = commandSpec().commands.map(({ words }) => words.join(' '));
    t.same(await offered('homeward '), verbs.toSorted());
    t.same(await offered('homeward reco'), ['recover']);
    t.same(await offered('homeward passphrase '), ['rotate', 'show']);
    t.same(await offered('homeward --json ingest c'), ['close']);
    t.same(await offered('homeward --control /run/x.sock pa'), ['passphrase']);
    t.same(await offered('homeward help reco'), ['recover']);
  });

  await t.test('options of the verb, and those of every verb', async (t) => {
    t.same(await offered('homeward recover web --allow'), ['--allow-damaged']);
    t.same(await offered('homeward recover --j'), ['--json']);
    t.same(await offered('homeward view close --a'), ['--all', '--at']);
    for (const { words, options } of everyCommand(commandSpec())) {
      const found = await offered(`homeward ${words.join(' ')} --`.replace('  ', ' '));
      t.same(
        options.filter(({ long }) => !found.includes(long)),
        [],
        words.join(' '),
      );
    }
  });

  await t.test('names of machines, files, directories, and words that a value begins with', async (t) => {
    t.same(await offered('homeward recover '), ['web', 'web-db']);
    t.same(await offered('homeward points web-'), ['web-db']);
    t.same(await offered('homeward points '), ['lock', 'unlock', 'web', 'web-db']);
    t.same(await offered('homeward points lock w'), ['web', 'web-db']);
    t.same(await offered('homeward recover web --at la'), ['latest', 'latest-app', 'latest-tag']);
    t.same(await offered('homeward recover web --to '), ['block:', 'in-place', 'qcow2:', 'raw:', 'vmdk:']);
    t.same(await offered('homeward config check --config d'), ['disk.img', 'drscout.conf']);
    t.same(await offered('homeward master-target --retention r'), ['retention']);
    t.same(await offered('homeward tag web --name '), []);
  });
});

t.test('where no daemon answers, bash offers no machines and says nothing', async (t) => {
  const { offered } = bash(t, 'echo "homeward: the daemon is not reachable" >&2; exit 7');
  t.same(await offered('homeward recover '), []);
  t.same(await offered('homeward points '), ['lock', 'unlock']);
});

t.test('an interactive bash completes at a tab, and goes on after a colon without a blank', async (t) => {
  const directory = temporaryDirectory(t);
  const { file, program } = installed(directory, `printf '%s\\n' '${status}'`);
  const env = { PATH: `${path.dirname(program)}:/usr/bin:/bin`, PS1: 'ready> ', TERM: 'dumb', HISTFILE: '' };
  const shell = terminal(t, 'bash', ['--norc', '--noprofile', '-i'], { cwd: directory, env });
  shell.type(`. ${file}\n`);
  await shell.becomes('homeward rec\t--al\t', 'homeward recover --allow-damaged ');
  await shell.becomes('homeward recover web-\t', 'homeward recover web-db ');
  await shell.becomes('homeward recover web --to ra\tX', 'homeward recover web --to raw:X');
  await shell.becomes(
    'homeward master-target --retention ret\t',
    'homeward master-target --retention retention/',
  );
});

t.test('bash takes the file with its strictest settings', async (t) => {
  const { file } = installed(temporaryDirectory(t), 'exit 7');
  t.equal(
    await runOk('bash', ['--norc', '-c', `set -eu; . ${file}; complete -p homeward`]),
    'complete -F _homeward homeward\n',
  );
});

t.test('shellcheck has nothing to say', { skip: skipUnless({ commands: ['shellcheck'] }) }, async (t) => {
  const { file } = installed(temporaryDirectory(t), 'exit 7');
  const found = await run('shellcheck', ['--shell=bash', '--severity=warning', file]);
  t.equal(found.status, 0, found.out);
});

t.test('fish completes', { skip: skipUnless({ commands: ['fish'] }) }, async (t) => {
  const directory = temporaryDirectory(t);
  const { program } = installed(directory, `printf '%s\\n' '${status}'`);
  const env = { PATH: `${path.dirname(program)}:/usr/bin:/bin`, HOME: directory };
  const offered = async (line: string): Promise<string[]> => {
    const text = `source ${directory}/homeward.fish; complete -C '${line}'`;
    const out = await runOk('fish', ['--no-config', '-c', text], { env, cwd: directory });
    return out
      .split('\n')
      .map((found) => found.replace(/\t.*/, ''))
      .filter(Boolean)
      .toSorted();
  };
  t.same(await offered('homeward reco'), ['recover']);
  t.same(await offered('homeward ingest '), ['close', 'open', 'seeded']);
  t.same(await offered('homeward recover '), ['web', 'web-db']);
  t.same(await offered('homeward recover web --allow'), ['--allow-damaged']);
  t.same(await offered('homeward recover web --at latest-'), ['latest-app', 'latest-tag']);
});

t.test('zsh completes at a tab', { skip: skipUnless({ commands: ['zsh'] }) }, async (t) => {
  const directory = temporaryDirectory(t);
  const { program } = installed(directory, `printf '%s\\n' '${status}'`);
  const env = {
    PATH: `${path.dirname(program)}:/usr/bin:/bin`,
    PS1: 'ready> ',
    TERM: 'dumb',
    HOME: directory,
  };
  const shell = terminal(t, 'zsh', ['-f', '-i'], { cwd: directory, env });
  shell.type(`fpath=(${directory} $fpath); autoload -U compinit; compinit -u -D; echo se''t up\n`);
  await shell.shows('set up');
  await shell.becomes('homeward rec\t--al\t', 'homeward recover --allow-damaged ');
  await shell.becomes('homeward recover web-\t', 'homeward recover web-db ');
  await shell.becomes('homeward recover web --to ra\tX', 'homeward recover web --to raw:X');
  await shell.becomes(
    'homeward master-target --retention ret\t',
    'homeward master-target --retention retention/',
  );
});
