// Rows of styled text: as wide as they have to be, and no wider.

export type Style = 'bold' | 'selected' | 'open' | 'good' | 'bad' | 'status' | 'faint';

export interface Span {
  text: string;
  style?: Style;
}

export type Row = readonly Span[];

export const widthOf = (text: string): number => Array.from(text).length;

/** Cut, or filled with blanks, to exactly `width`. */
export function rowOf(row: Row, width: number): Row {
  const cut = fit(row, width);
  const used = cut.reduce((sum, { text }) => sum + widthOf(text), 0);
  return used < width ? [...cut, { text: ' '.repeat(width - used) }] : cut;
}

/** Cut to `width`. */
export function fit(row: Row, width: number): Row {
  const kept: Span[] = [];
  let room = width;
  for (const span of row) {
    const characters = Array.from(span.text);
    if (characters.length > room) {
      kept.push({ ...span, text: characters.slice(0, room).join('') });
      return kept;
    }
    room -= characters.length;
    kept.push(span);
  }
  return kept;
}

/** Text whose end there is no room for, which three dots say. */
export function shortened(text: string, width: number): string {
  const characters = Array.from(text);
  return characters.length <= width ? text : `${characters.slice(0, Math.max(width - 3, 0)).join('')}...`;
}

/** Broken between words where that is possible. */
export function paragraph(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ').flatMap((each) => pieces(each, width))) {
    const longer = line === '' ? word : `${line} ${word}`;
    if (widthOf(longer) <= width) {
      line = longer;
    } else {
      lines.push(line);
      line = word;
    }
  }
  return [...lines, line];
}

function pieces(word: string, width: number): string[] {
  const characters = Array.from(word);
  if (characters.length <= width) return [word];
  const count = Math.ceil(characters.length / width);
  return Array.from({ length: count }, (_each, at) =>
    characters.slice(at * width, (at + 1) * width).join(''),
  );
}

export const textOfRow = (row: Row): string => row.map(({ text }) => text).join('');
