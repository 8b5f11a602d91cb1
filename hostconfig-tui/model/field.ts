// The fields of a page, and what a key does to one of them.
import { isNamed, type Key } from './key.ts';

interface FieldBase {
  id: string;
  label: string;
}

export interface TextField extends FieldBase {
  kind: 'text';
  value: string;
  /** Characters before the cursor. */
  cursor: number;
  /** `count`: nothing of it is shown but how many characters it has. */
  echo: 'plain' | 'count';
  /** Shown while it is empty. */
  rest: string;
  /** Of the yes-no field that has to be Yes for this one to be asked for. */
  onlyWhen?: string;
}

export interface YesNoField extends FieldBase {
  kind: 'yes-no';
  value: boolean;
}

export interface ChoiceField extends FieldBase {
  kind: 'choice';
  choices: readonly string[];
  at: number;
}

export interface ListRow {
  /** A place. */
  text: string;
  detail: string;
  /** What choosing it gives; null for one that is there to say why it cannot be chosen. */
  value: string | null;
}

export interface ListField extends FieldBase {
  kind: 'list';
  rows: readonly ListRow[];
  at: number;
  /** Shown in place of rows. */
  rest: string;
}

export interface ShownField extends FieldBase {
  kind: 'shown';
  value: string;
}

export interface ButtonsField extends FieldBase {
  kind: 'buttons';
  buttons: readonly { id: string; label: string }[];
  at: number;
}

export type Field = TextField | YesNoField | ChoiceField | ListField | ShownField | ButtonsField;

export interface Pressed {
  field: Field;
  move: 'next' | 'previous' | 'stay';
  /** The id of a button, or the value of a row of a list. */
  chosen: string | null;
  /** The row that was to be chosen cannot be: why, which may be longer than the row. */
  refused?: string;
}

/** What the cursor can be on. A list without rows has nothing to choose. */
export const canHold = (field: Field): boolean =>
  field.kind !== 'shown' && !(field.kind === 'list' && field.rows.length === 0);

export function pressField(field: Field, key: Key): Pressed {
  if (field.kind === 'list') return pressList(field, key);
  if (isNamed(key, 'tab', 'down')) return moved(field, 'next');
  if (isNamed(key, 'back-tab', 'up')) return moved(field, 'previous');
  if (field.kind === 'buttons') return pressButtons(field, key);
  if (isNamed(key, 'enter')) return moved(field, 'next');
  switch (field.kind) {
    case 'text':
      return stays(editText(field, key));
    case 'yes-no':
      return stays(pressYesNo(field, key));
    case 'choice':
      return stays({ ...field, at: step(key, field.at, field.choices.length) });
    case 'shown':
      return stays(field);
  }
}

const stays = (field: Field): Pressed => ({ field, move: 'stay', chosen: null });
const moved = (field: Field, move: Pressed['move']): Pressed => ({ field, move, chosen: null });

function pressYesNo(field: YesNoField, key: Key): YesNoField {
  if (isNamed(key, 'left', 'right') || (key.kind === 'text' && key.text === ' ')) {
    return { ...field, value: !field.value };
  }
  if (key.kind !== 'text') return field;
  const letter = key.text.toLowerCase();
  return letter === 'y' || letter === 'n' ? { ...field, value: letter === 'y' } : field;
}

function pressButtons(field: ButtonsField, key: Key): Pressed {
  const chosen = isNamed(key, 'enter') || (key.kind === 'text' && key.text === ' ');
  if (chosen) return { field, move: 'stay', chosen: field.buttons[field.at]?.id ?? null };
  return stays({ ...field, at: step(key, field.at, field.buttons.length) });
}

function pressList(field: ListField, key: Key): Pressed {
  if (isNamed(key, 'tab')) return moved(field, 'next');
  if (isNamed(key, 'back-tab')) return moved(field, 'previous');
  const last = field.rows.length - 1;
  if (isNamed(key, 'up')) {
    return field.at === 0 ? moved(field, 'previous') : stays({ ...field, at: field.at - 1 });
  }
  if (isNamed(key, 'down')) {
    return field.at >= last ? moved(field, 'next') : stays({ ...field, at: field.at + 1 });
  }
  if (isNamed(key, 'home', 'page-up')) return stays({ ...field, at: 0 });
  if (isNamed(key, 'end', 'page-down')) return stays({ ...field, at: Math.max(last, 0) });
  const row = field.rows[field.at];
  const isChosen = isNamed(key, 'enter') || (key.kind === 'text' && key.text === ' ');
  if (row === undefined || !isChosen) return stays(field);
  if (row.value === null) return { ...stays(field), refused: `${row.text}: ${row.detail}` };
  return { field, move: 'stay', chosen: row.value };
}

/** Left and right within `count`, round the ends. */
function step(key: Key, at: number, count: number): number {
  if (isNamed(key, 'left')) return (at + count - 1) % count;
  if (isNamed(key, 'right') || (key.kind === 'text' && key.text === ' ')) return (at + 1) % count;
  return at;
}

/** More is no name, path or passphrase. */
const mostCharacters = 4096;

export function editText(field: TextField, key: Key): TextField {
  const characters = Array.from(field.value);
  const { cursor } = field;
  const put = (kept: string[], at: number): TextField => ({ ...field, value: kept.join(''), cursor: at });
  if (key.kind !== 'named') {
    const added = Array.from(cleanText(key.text, key.kind === 'paste'));
    if (added.length === 0 || characters.length + added.length > mostCharacters) return field;
    return put(characters.toSpliced(cursor, 0, ...added), cursor + added.length);
  }
  switch (key.name) {
    case 'backspace':
      return cursor === 0 ? field : put(characters.toSpliced(cursor - 1, 1), cursor - 1);
    case 'delete':
      return put(characters.toSpliced(cursor, 1), cursor);
    case 'clear':
      return put([], 0);
    case 'left':
      return { ...field, cursor: Math.max(cursor - 1, 0) };
    case 'right':
      return { ...field, cursor: Math.min(cursor + 1, characters.length) };
    case 'home':
      return { ...field, cursor: 0 };
    case 'end':
      return { ...field, cursor: characters.length };
    default:
      return field;
  }
}

/** What is copied has line ends and spaces around it that nobody means; only its first line counts. */
function cleanText(text: string, pasted: boolean): string {
  const line = pasted ? (text.trim().split(/[\r\n]/)[0] ?? '').trim() : text;
  return line.replaceAll(/[\p{C}\p{Zl}\p{Zp}]/gu, '');
}
