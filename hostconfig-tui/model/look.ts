// How much of a drawing a terminal can show.

export interface Look {
  /** Lines and corners, else `+`, `-` and `|`. */
  lines: boolean;
  /** Bold and reverse, else marks of ordinary characters. */
  attributes: boolean;
  colour: boolean;
}

export interface Glyphs {
  horizontal: string;
  vertical: string;
  topLeft: string;
  topRight: string;
  bottomLeft: string;
  bottomRight: string;
  teeLeft: string;
  teeRight: string;
}

const lines: Glyphs = {
  ...{ horizontal: '─', vertical: '│', topLeft: '┌', topRight: '┐' },
  ...{ bottomLeft: '└', bottomRight: '┘', teeLeft: '├', teeRight: '┤' },
};
const ascii: Glyphs = {
  ...{ horizontal: '-', vertical: '|', topLeft: '+', topRight: '+' },
  ...{ bottomLeft: '+', bottomRight: '+', teeLeft: '+', teeRight: '+' },
};

export const glyphs = (look: Look): Glyphs => (look.lines ? lines : ascii);
