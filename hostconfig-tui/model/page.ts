// One page below the menu: its fields, where the cursor is, and what it has to say.
import { canHold, pressField, type Field, type TextField } from './field.ts';
import type { Key } from './key.ts';

export const PageId = { global: 'global', agent: 'agent', nat: 'nat', logging: 'logging' } as const;
export type PageId = (typeof PageId)[keyof typeof PageId];

export interface Message {
  tone: 'good' | 'bad' | 'plain';
  /** Each is wrapped to the width that there is. */
  lines: readonly string[];
}

export interface Page {
  id: PageId;
  heading: string;
  fields: readonly Field[];
  at: number;
  message: Message | null;
  /** What is under way, and for how many seconds; no key but Esc counts meanwhile. */
  busy: { text: string; seconds: number } | null;
  /** The fields as the page was opened with them. */
  opened: readonly Field[];
  /** The last lines of the log, on the page that shows them. */
  tail: readonly string[] | null;
}

export function newPage(id: PageId, heading: string, fields: readonly Field[]): Page {
  const page = { id, heading, fields, at: 0, message: null, busy: null, opened: fields, tail: null };
  return isHolding(page, 0) ? page : moveCursor(page, 1);
}

export interface PagePressed {
  page: Page;
  /** The field that something was chosen in, and what. */
  chosen: { field: string; value: string } | null;
  /** Why what was to be chosen cannot be. */
  refused?: string;
}

export function pressPage(page: Page, key: Key): PagePressed {
  const field = page.fields[page.at];
  if (field === undefined) return { page, chosen: null };
  const { field: next, move, chosen, refused } = pressField(field, key);
  const changed = withField(page, next);
  const at = move === 'stay' ? changed : moveCursor(changed, move === 'next' ? 1 : -1);
  if (refused !== undefined) return { page: at, chosen: null, refused };
  return { page: at, chosen: chosen === null ? null : { field: field.id, value: chosen } };
}

/** To the next field that takes a cursor, or stays at the last. */
export function moveCursor(page: Page, by: 1 | -1): Page {
  for (let at = page.at + by; at >= 0 && at < page.fields.length; at += by) {
    if (isHolding(page, at)) return { ...page, at };
  }
  return page;
}

export function moveTo(page: Page, id: string): Page {
  const at = page.fields.findIndex((field) => field.id === id);
  return at === -1 ? page : { ...page, at };
}

/** One that waits for a Yes elsewhere is not asked for. */
export function isAsked(page: Pick<Page, 'fields'>, field: Field): boolean {
  if (field.kind !== 'text' || field.onlyWhen === undefined) return true;
  const other = page.fields.find(({ id }) => id === field.onlyWhen);
  return other?.kind === 'yes-no' && other.value;
}

function isHolding(page: Page, at: number): boolean {
  const field = page.fields[at];
  return field !== undefined && canHold(field) && isAsked(page, field);
}

export function withField(page: Page, field: Field): Page {
  return { ...page, fields: page.fields.map((other) => (other.id === field.id ? field : other)) };
}

/** The text of a field, trimmed; empty when it is not asked for. */
export function textOf(page: Page, id: string): string {
  const field = page.fields.find((each) => each.id === id);
  return field?.kind === 'text' && isAsked(page, field) ? field.value.trim() : '';
}

export function saysYes(page: Page, id: string): boolean {
  const field = page.fields.find((each) => each.id === id);
  return field?.kind === 'yes-no' && field.value;
}

export function choiceOf(page: Page, id: string): string {
  const field = page.fields.find((each) => each.id === id);
  return field?.kind === 'choice' ? (field.choices[field.at] ?? '') : '';
}

/** A text field with its cursor behind the text. */
export function textField(field: Pick<TextField, 'id' | 'label' | 'value'> & Partial<TextField>): TextField {
  return { kind: 'text', echo: 'plain', rest: '', cursor: Array.from(field.value).length, ...field };
}

export function setText(page: Page, id: string, value: string): Page {
  const field = page.fields.find((each) => each.id === id);
  return field?.kind === 'text'
    ? withField(page, textField({ ...field, value, cursor: value.length }))
    : page;
}

export interface Button {
  id: string;
  label: string;
}

/** Other buttons, with the cursor on the first or on the named one. */
export function setButtons(page: Page, buttons: readonly Button[], on?: string): Page {
  const field = page.fields.find(({ kind }) => kind === 'buttons');
  if (field?.kind !== 'buttons') return page;
  const at = Math.max(
    buttons.findIndex(({ id }) => id === on),
    0,
  );
  return withField(page, { ...field, buttons, at });
}
