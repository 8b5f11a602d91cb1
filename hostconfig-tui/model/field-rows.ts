// How a field of a page is drawn: its label, its value, and where the cursor stands in it.
import type { ButtonsField, ChoiceField, Field, ListField, TextField, YesNoField } from './field.ts';
import type { Look } from './look.ts';
import { isAsked, type Page } from './page.ts';
import { shortened, widthOf, type Row, type Span } from './row.ts';

export interface FieldArea {
  inner: number;
  look: Look;
  isHere: boolean;
  /** How many rows of a list there is room for; 0: not even for its label. */
  listRows: number;
}

export interface FieldDrawing {
  field: Field;
  rows: readonly Row[];
  /** Within these rows. */
  cursor: { row: number; column: number } | null;
}

const labelWidth = 27;
const listIndent = 4;

export function fieldRows(page: Page, field: Field, area: FieldArea): FieldDrawing {
  const label: Span = {
    text: `${area.isHere ? '> ' : '  '}${field.label}`.padEnd(labelWidth),
    ...(area.isHere ? { style: 'bold' as const } : {}),
  };
  switch (field.kind) {
    case 'shown':
      return { field, rows: [[label, { text: field.value }]], cursor: null };
    case 'text':
      if (!isAsked(page, field)) return { field, rows: [], cursor: null };
      return { field, ...textRows(field, label, area) };
    case 'yes-no':
      return { field, rows: [[label, ...yesNoSpans(field)]], cursor: at(area, field.value ? 1 : 10) };
    case 'choice':
      return { field, ...choiceRow(field, label, area) };
    case 'list':
      return { field, ...listRows(field, label, area) };
    case 'buttons':
      return { field, ...buttonsRow(field, area) };
  }
}

const at = ({ isHere }: FieldArea, column: number): FieldDrawing['cursor'] =>
  isHere ? { row: 0, column: labelWidth + column } : null;

type Drawn = Pick<FieldDrawing, 'rows' | 'cursor'>;

/** A long value is shown around its cursor. */
function textRows(field: TextField, label: Span, area: FieldArea): Drawn {
  const room = Math.min(area.inner - labelWidth - 2, 60);
  const characters = Array.from(field.value);
  if (field.echo === 'count' && characters.length > 0) {
    const count = `${characters.length} character${characters.length === 1 ? '' : 's'}`;
    return { rows: [[label, { text: `[${count.padEnd(room)}]` }]], cursor: at(area, 1 + widthOf(count)) };
  }
  if (characters.length === 0 && field.rest !== '') {
    const rest: Span = { text: field.rest.padEnd(room), style: 'faint' };
    return { rows: [[label, { text: '[' }, rest, { text: ']' }]], cursor: at(area, 1) };
  }
  const from = Math.max(field.cursor - room + 1, 0);
  const shown = characters.slice(from, from + room).join('');
  return {
    rows: [[label, { text: `[${shown}${' '.repeat(room - widthOf(shown))}]` }]],
    cursor: at(area, 1 + field.cursor - from),
  };
}

const yesNoSpans = ({ value }: YesNoField): Row => [{ text: value ? '(*) Yes  ( ) No' : '( ) Yes  (*) No' }];

function choiceRow(field: ChoiceField, label: Span, area: FieldArea): Drawn {
  const words = field.choices.map((choice, index) => `${index === field.at ? '(*)' : '( )'} ${choice}`);
  const before = words.slice(0, field.at).reduce((sum, word) => sum + word.length + 2, 0);
  return { rows: [[label, { text: words.join('  ') }]], cursor: at(area, before + 1) };
}

/**
 * Below the label, around the chosen row. What is said about a place is more than its name; what there is no
 * room for is told by choosing it.
 */
function listRows(field: ListField, label: Span, area: FieldArea): Drawn {
  const { isHere, look, inner } = area;
  // Where there is no room it goes, but not from under the cursor.
  const room = isHere ? Math.max(area.listRows, 1) : area.listRows;
  if (room === 0) return { rows: [], cursor: null };
  if (field.rows.length === 0) return { rows: [[label, { text: field.rest }]], cursor: null };
  const from = Math.max(Math.min(field.at - Math.floor(room / 2), field.rows.length - room), 0);
  const below = field.rows.length - from - room;
  const more = below > 0 ? `${below} more below` : '';
  const rows = field.rows.slice(from, from + room).map(({ text, detail, value }, index): Row => {
    const isChosen = isHere && from + index === field.at;
    const mark = isChosen && !look.attributes ? '>' : ' ';
    const style = isChosen ? 'selected' : value === null ? 'faint' : null;
    const width = inner - listIndent - 5;
    const name = shorten(text, width - widthOf(detail));
    const said = shortened(detail, width - widthOf(name));
    const span: Span = { text: `${mark}${name}  ${said} `, ...(style === null ? {} : { style }) };
    return [{ text: ' '.repeat(listIndent) }, span];
  });
  const cursor = isHere ? { row: 1 + field.at - from, column: listIndent } : null;
  return { rows: [[label, { text: more }], ...rows], cursor };
}

/** The middle of a long path says least. */
function shorten(text: string, width: number): string {
  const characters = Array.from(text);
  if (characters.length <= width || width < 8) return text;
  const half = Math.floor((width - 3) / 2);
  return `${characters.slice(0, half).join('')}...${characters.slice(-half).join('')}`;
}

function buttonsRow(field: ButtonsField, area: FieldArea): Drawn {
  const spans: Span[] = [{ text: '  ' }];
  let column = 2;
  let cursor: FieldDrawing['cursor'] = null;
  for (const [index, { label }] of field.buttons.entries()) {
    const isChosen = area.isHere && index === field.at;
    if (isChosen) cursor = { row: 0, column: column + 2 };
    const mark = isChosen && !area.look.attributes ? '>' : ' ';
    const text = `[${mark}${label} ]`;
    spans.push({ text, ...(isChosen ? { style: 'selected' as const } : {}) }, { text: '  ' });
    column += widthOf(text) + 2;
  }
  return { rows: [spans], cursor };
}
