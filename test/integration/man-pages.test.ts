// The manual: it says what the program takes, and man has nothing to say against it.
import fs from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { commandSpec, everyCommand, hostconfigSpec } from '../../scripts/packaging/command-spec.ts';
import { writeManPages } from '../../scripts/packaging/man-pages.ts';
import { run, runOk } from '../support/homeward.ts';
import { skipUnless } from '../support/needs.ts';
import { root } from '../support/source-files.ts';
import { temporaryDirectory } from '../support/temporary.ts';

const env = { MANWIDTH: '100', MAN_KEEP_FORMATTING: '', LC_ALL: 'C.UTF-8' };
const build = { root, version: '7.0.1', epoch: 1_700_000_000, revision: 'test', out: '' };

t.test('the manual', { skip: skipUnless({ commands: ['man', 'groff'] }) }, async (t) => {
  const directory = temporaryDirectory(t);
  writeManPages(build, directory);
  const pages = fs
    .readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.\d$/.test(file))
    .map((file) => path.join(directory, file));

  await t.test('has pages for the programs that an administrator runs', async (t) => {
    t.same(pages.map((page) => path.basename(page)).toSorted(), [
      ...['homeward-check.8', 'homeward-custom-changes.8', 'homeward-install.8', 'homeward.1'],
      'hostconfigcli.8',
    ]);
  });

  await t.test('draws no warning, and has no place left that somebody should have filled in', async (t) => {
    for (const page of pages) {
      const shown = await run('man', ['--warnings=w', '-E', 'UTF-8', '-l', page], { env });
      t.match(shown, { status: 0, err: '' }, path.basename(page));
      const roff = await run('groff', ['-man', '-Tutf8', '-ww', page]);
      t.match(roff, { status: 0, err: '' }, path.basename(page));
      t.notMatch(fs.readFileSync(page, 'utf8'), /@[A-Z]+@/);
      t.match(shown.out, /^Homeward 7\.0\.1 +2023-11-14/m);
    }
  });

  await t.test('names every command with each of its options and what it stands for', (t) =>
    checkCommands(t, path.join(directory, 'man1/homeward.1')),
  );

  await t.test('the page of hostconfigcli has each of its options, and how it ends', (t) =>
    checkHostconfig(t, path.join(directory, 'man8/hostconfigcli.8')),
  );

  await t.test('a page that another names is there, or is of the system', async (t) => {
    const ours = new Set(pages.map((page) => path.basename(page)));
    for (const page of pages) {
      const see = fs.readFileSync(page, 'utf8').split('.SH SEE ALSO')[1] ?? '';
      const named = [...see.matchAll(/^\.BR (\S+) \((\d)\)/gm)].map(
        ([, name = '', section = '']) => `${name.replaceAll('\\', '')}.${section}`,
      );
      t.same(
        named.filter((name) => /^(?:homeward|hostconfigcli)/.test(name) && !ours.has(name)),
        [],
      );
    }
  });
});

const drawn = (page: string): Promise<string> =>
  runOk('man', ['--nh', '--nj', '-E', 'UTF-8', '-l', page], { env });

async function checkCommands(t: Test, page: string): Promise<void> {
  const text = await drawn(page);
  const flat = text.replaceAll(/\s+/g, ' ');
  for (const { words, options, description } of everyCommand(commandSpec())) {
    if (words.length === 0) continue;
    t.ok(text.includes(`\n   homeward ${words.join(' ')}\n`), words.join(' '));
    for (const { flags } of options) t.ok(flat.includes(flags.replaceAll(/[<>]/g, '')), flags);
    const start = description.slice(1).replaceAll('`', '').replaceAll(/\s+/g, ' ');
    t.ok(flat.includes(start), description);
  }
  for (const section of ['MOMENTS', 'EXIT STATUS', 'ENVIRONMENT', 'FILES', 'SEE ALSO'])
    t.ok(text.includes(`\n${section}\n`), section);
}

async function checkHostconfig(t: Test, page: string): Promise<void> {
  const text = await drawn(page);
  const { options } = hostconfigSpec();
  const items = text.split('\n').map((line) => `${line.trim()} `);
  for (const { flags } of options) {
    const start = `${flags.replaceAll(/[<>]/g, '')} `;
    t.ok(
      items.some((line) => line.startsWith(start)),
      flags,
    );
  }
  t.match(text, /\nEXIT STATUS\n +0 done, 1 interrupted/);
}
