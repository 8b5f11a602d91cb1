// Checks the documentation of the settings against the settings, both ways.
import fs from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { settings } from '../../../core/settings.ts';
import { settingsTable } from '../../../core/settings-table.ts';

const file = path.resolve(import.meta.dirname, '../../../docs/configuration.md');

t.test('docs/configuration.md carries exactly the table of settings', (t) => {
  const documented = fs
    .readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('|'));
  t.same(documented, settingsTable());
  t.end();
});

t.test('no key or name is used twice, and each setting is one sentence', (t) => {
  for (const field of ['key', 'name'] as const) {
    t.equal(new Set(settings.map((setting) => setting[field])).size, settings.length);
  }
  for (const setting of settings) t.match(setting.doc, /^[A-Z][^|\n]*\.$/, setting.key);
  t.end();
});
