// What the screen looks like: rows of text with styles, and where the cursor is. Pure: tests read it.
import type { Field } from './field.ts';
import { isTooSmall, leastSize, menu, type Model, type Size } from './model.ts';
import { fieldRows, type FieldDrawing } from './field-rows.ts';
import type { Page } from './page.ts';
import { glyphs, type Glyphs, type Look } from './look.ts';
import { progressLines } from './progress.ts';
import { fit, paragraph, rowOf, shortened, widthOf, type Row, type Span } from './row.ts';
import { statusParts } from './status-line.ts';

export interface Frame {
  /** As many as the screen has, none longer than it is wide. */
  rows: readonly Row[];
  cursor: { row: number; column: number } | null;
}

const bannerWidth = 40;
/** Wider lines are hard to follow. */
const mostWidth = 110;
const bannerRows = 7;

export function drawFrame(model: Model, look: Look): Frame {
  const { size } = model;
  if (isTooSmall(size)) return tooSmall(size);
  const drawing = glyphs(look);
  const width = Math.min(size.columns - 2, mostWidth);
  const indent = Math.floor((size.columns - width) / 2);
  const height = size.rows - bannerRows - 2;
  const below =
    model.help === null
      ? pageRows(model, { look, drawing, width, height })
      : helpRows(model, { look, drawing, width, height });
  const banner = bannerOf(model, look, drawing).map((row) =>
    shift(row, Math.floor((size.columns - bannerWidth) / 2)),
  );
  const body = below.rows.map((row) => shift(row, indent));
  const rows = [...banner, ...body, shift([{ text: keysLine(model) }], indent + 1), statusRow(model, size)];
  const { cursor } = below;
  const at = cursor === null ? null : { row: cursor.row + bannerRows, column: cursor.column + indent };
  return { rows: rows.map((row) => fit(row, size.columns)), cursor: at };
}

const shift = (row: Row, columns: number): Row => [{ text: ' '.repeat(columns) }, ...row];

function tooSmall({ columns, rows }: Size): Frame {
  const words = [
    `This terminal has ${columns} columns and ${rows} rows.`,
    `Host Config Interface needs ${leastSize.columns} by ${leastSize.rows}.`,
    'Make the window larger; nothing is lost. Ctrl-C leaves.',
  ];
  const lines = words.flatMap((line) => paragraph(line, Math.max(columns, 1))).slice(0, rows);
  return {
    rows: Array.from({ length: rows }, (_each, at) => fit([{ text: lines[at] ?? '' }], columns)),
    cursor: null,
  };
}

const bannerWords = ['Host Config Interface', 'Pick the command you wish to run.', 'Press ? for help.'];
const bannerAt = [8, 2, 8];

function bannerOf({ menuAt, page }: Model, look: Look, drawing: Glyphs): Row[] {
  const inner = bannerWidth - 2;
  const edge = drawing.horizontal.repeat(inner);
  const side = (spans: Row): Row => [
    { text: drawing.vertical },
    ...rowOf(spans, inner),
    { text: drawing.vertical },
  ];
  return [
    [{ text: drawing.topLeft + edge + drawing.topRight }],
    ...bannerWords.map((text, at) => side([{ text: ' '.repeat(bannerAt[at] ?? 0) + text }])),
    [{ text: drawing.teeLeft + edge + drawing.teeRight }],
    side(menuRow(menuAt, page !== null, look)),
    [{ text: drawing.bottomLeft + edge + drawing.bottomRight }],
  ];
}

/** Without attributes the blanks around the chosen word become brackets, so that nothing moves. */
function menuRow(menuAt: number, isOpen: boolean, { attributes }: Look): Row {
  const spans: Span[] = [{ text: '  ' }];
  for (const [at, word] of menu.entries()) {
    const chosen = at === menuAt;
    const open = chosen && !attributes ? '[' : menuAt === at - 1 && !attributes ? ']' : ' ';
    spans.push({ text: open });
    spans.push(chosen ? { text: word, style: isOpen ? 'open' : 'selected' } : { text: word });
  }
  if (menuAt === menu.length - 1 && !attributes) spans.push({ text: ']' });
  return spans;
}

function keysLine({ page, help }: Model): string {
  if (help !== null) return 'Any key closes this help';
  if (page === null) return 'Left Right choose   Enter opens   ? help';
  if (page.busy !== null) return 'Esc stops';
  return 'Up Down Enter move   Left Right change   ? help   Esc back without saving';
}

function statusRow({ status, settings }: Model, { columns }: Size): Row {
  // The last column of the last row stays free: some consoles scroll when it is written.
  const parts = statusParts(status, settings.role);
  const [first = '', ...rest] = parts;
  const whole = rest.map((part) => ` | ${part}`).join('');
  // What server it is comes before all else.
  const isTight = widthOf(first) + widthOf(whole) > columns - 2;
  const tail = isTight ? whole.replace(' | last contact ', ' | contact ') : whole;
  const head = shortened(first, columns - 2 - widthOf(tail));
  return [{ text: rowText(` ${head}${tail}`, columns), style: 'status' }];
}

const rowText = (text: string, columns: number): string => text.padEnd(columns - 1);

interface Area {
  look: Look;
  drawing: Glyphs;
  width: number;
  height: number;
}

function pageRows(model: Model, area: Area): Frame {
  const { page } = model;
  if (page === null) return { rows: Array.from({ length: area.height }, () => []), cursor: null };
  const inner = area.width - 4;
  const messages = messageRows(page, inner);
  const draw = (listRows: number): FieldDrawing[] =>
    page.fields.map((field, at) =>
      fieldRows(page, field, { inner, look: area.look, isHere: at === page.at, listRows }),
    );
  const room = area.height - 2 - messages.length;
  // A blank before the buttons and one behind them, and the list takes what is left of the box. What has
  // to be said goes before both.
  const needed = draw(0).reduce((sum, { rows }) => sum + rows.length, 0);
  const left = room - needed - 2;
  const drawn = draw(Math.max(left - 1, 0));
  const blanks: Row[] = left >= 0 ? [[]] : [];
  const rows: Row[] = [];
  let cursor: Frame['cursor'] = null;
  for (const { field, rows: own, cursor: inField } of drawn) {
    if (startsGroup(field)) rows.push(...blanks);
    if (inField !== null) cursor = { row: rows.length + inField.row + 1, column: inField.column + 2 };
    rows.push(...own);
  }
  rows.push(...blanks, ...messages);
  const free = area.height - 2 - rows.length;
  if (page.tail !== null) rows.push(...tailRows(page.tail, inner, free));
  return { rows: boxed(page.heading, rows, area), cursor: page.busy === null ? cursor : null };
}

const startsGroup = (field: Field): boolean => field.kind === 'buttons';

function messageRows({ message, busy }: Page, width: number): Row[] {
  if (busy !== null) {
    const [what = '', ...below] = progressLines(busy.text);
    const seconds = busy.seconds < 2 ? '' : ` (${busy.seconds} s)`;
    return [`${what}${seconds}`, ...below]
      .flatMap((line) => paragraph(line, width))
      .map((text) => [{ text, style: 'bold' as const }]);
  }
  if (message === null) return [];
  const style = message.tone === 'plain' ? undefined : message.tone;
  return message.lines
    .flatMap((line) => paragraph(line, width))
    .map((text) => [style === undefined ? { text } : { text, style }]);
}

/** The newest lines; the log is long lines, and what is behind the edge is in the journal. */
function tailRows(lines: readonly string[], width: number, free: number): Row[] {
  if (free < 2) return [];
  const shown = lines.slice(-(free - 1));
  return [
    [{ text: 'Newest lines of the log', style: 'bold' }],
    ...(shown.length === 0 ? [[{ text: 'none yet' }]] : shown.map((text) => fit([{ text }], width))),
  ];
}

function helpRows({ help, page }: Model, area: Area): Frame {
  const inner = area.width - 4;
  const lines = help?.lines.join(' ') ?? '';
  const rows: Row[] = [
    [],
    [{ text: help?.title ?? '', style: 'bold' }],
    [],
    ...paragraph(lines, inner).map((text) => [{ text }]),
  ];
  return { rows: boxed(page === null ? 'Help' : `Help: ${page.heading}`, rows, area), cursor: null };
}

/** A box of the size of the area, its heading in the upper edge. */
function boxed(heading: string, rows: readonly Row[], { drawing, width, height }: Area): Row[] {
  const { horizontal, vertical } = drawing;
  const title = ` ${heading} `;
  const rest = horizontal.repeat(Math.max(width - 4 - widthOf(title), 0));
  const inside = Array.from({ length: height - 2 }, (_each, at): Row => [
    { text: `${vertical} ` },
    ...rowOf(rows[at] ?? [], width - 4),
    { text: ` ${vertical}` },
  ]);
  return [
    [
      { text: `${drawing.topLeft}${horizontal}` },
      { text: title, style: 'bold' },
      { text: `${horizontal}${rest}${drawing.topRight}` },
    ],
    ...inside,
    [{ text: drawing.bottomLeft + horizontal.repeat(width - 2) + drawing.bottomRight }],
  ];
}
