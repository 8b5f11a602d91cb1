// The table of settings as Markdown, as `docs/configuration.md` carries it.
import { environmentName } from './config.ts';
import { expected } from './setting-value.ts';
import { settings, type Setting } from './settings.ts';

/** One line per setting below two lines of heading. */
export function settingsTable(): string[] {
  return [
    '| Setting | Section | Environment | Value | Default | Takes effect | What it is |',
    '|---|---|---|---|---|---|---|',
    ...settings.map(row),
  ];
}

function row(setting: Setting): string {
  const cells = [
    `\`${setting.key}\``,
    `\`[${setting.section}]\``,
    `\`${environmentName(setting.key)}\``,
    expected(setting),
    setting.default === '' ? '(empty)' : `\`${setting.default}\``,
    setting.applies === 'live' ? 'at once' : 'at the next start',
    setting.doc,
  ];
  return `| ${cells.join(' | ')} |`;
}
