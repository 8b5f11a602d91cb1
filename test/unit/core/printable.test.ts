// What others send never reaches a terminal as a command.
import t from 'tap';
import { formatFields, formatTable } from '../../../cli/table.ts';
import { formatLogLine } from '../../../core/log.ts';
import { printable } from '../../../core/printable.ts';

t.test('what a terminal would obey is spelled out, and nothing else changes', async (t) => {
  const plain = 'Köln 東京 😀 "quoted" \\ 24 %';
  t.equal(printable(plain), plain);
  t.equal(printable('a\u001b[2Kb'), 'a\\u001b[2Kb');
  t.equal(printable('a\r\nb\u009b\u202ec\u2028'), 'a\\u000d\\u000ab\\u009b\\u202ec\\u2028');
  t.equal(printable('\u{e0041}'), '\\udb40\\udc41');
});

t.test('tables, fields and logs show it so', async (t) => {
  const name = 'ps\nforged\u001b[2K';
  t.equal(formatTable([{ title: 'NAME', cell: () => name }], [{}]).split('\n').length, 3);
  t.notMatch(formatFields([['name', name]]), '\u001b');
  const lines = [name, '\u001b[2K', '\u009b2K'].map((host) => formatLogLine('info', 'x', { host }));
  for (const line of lines) t.match(line, /^[^\p{C}]*\n$/u);
});
