// Draws frames on the terminal with blessed, which sends what has changed; leaves the terminal as it was.
import { EventEmitter } from 'node:events';
import { PassThrough } from 'node:stream';
import type { ReadStream, WriteStream } from 'node:tty';
import blessed, { type Widgets } from 'blessed';
import type { Frame } from '../model/frame.ts';
import type { Look } from '../model/look.ts';
import type { Size } from '../model/model.ts';
import { textOfRow, type Row, type Style } from '../model/row.ts';
import { forTerminal, sizeOf } from './terminal.ts';

export interface ScreenOptions {
  input: ReadStream;
  output: WriteStream;
  look: Look;
  utf8: boolean;
  onResize(size: Size): void;
}

/** A paste comes between marks then, and no line end in it counts as Enter. */
const pasteOn = '\x1b[?2004h';
const pasteOff = '\x1b[?2004l';

/**
 * No terminal has this name, so blessed takes the description of xterm that it brings along: what it uses of
 * that, every terminal since the VT100 understands, and no description has to be installed.
 */
const terminalName = 'xterm-homeward';

export class Screen {
  readonly #options: ScreenOptions;
  readonly #output: Output;
  readonly #screen: Widgets.Screen;
  readonly #box: Widgets.BoxElement;
  #open = true;

  constructor(options: ScreenOptions) {
    this.#options = options;
    this.#output = new Output(options.output);
    options.input.setRawMode(true);
    this.#screen = blessed.screen({
      // Keys are read elsewhere: blessed knows neither pastes nor characters that come in two pieces.
      input: new PassThrough(),
      output: this.#output as unknown as NodeJS.WritableStream,
      terminal: terminalName,
      forceUnicode: options.utf8,
      resizeTimeout: 0,
      // Blanks at the end of a line are erased in one go.
      useBCE: true,
    } as object as Widgets.IScreenOptions);
    // Lines go out as the characters that they are: PuTTY shows letters for the other way of drawing them.
    (this.#screen as unknown as { tput: { brokenACS: boolean } }).tput.brokenACS = true;
    this.#box = blessed.box({
      parent: this.#screen,
      top: 0,
      left: 0,
      width: '100%',
      height: '100%',
      wrap: false,
    });
    options.output.write(pasteOn);
    options.output.on('resize', this.#onResize);
  }

  readonly #onResize = (): void => {
    this.#output.emit('resize');
    this.#options.onResize(this.size);
  };

  get size(): Size {
    return { columns: this.#output.columns, rows: this.#output.rows };
  }

  draw(frame: Frame): void {
    if (!this.#open) return;
    this.#box.setContent(frame.rows.map((row) => this.#contentOf(row)).join('\n'));
    const { program } = this.#screen;
    this.#screen.render();
    if (frame.cursor === null) {
      program.hideCursor();
    } else {
      program.cup(frame.cursor.row, frame.cursor.column);
      program.showCursor();
    }
    program.flush();
  }

  /** Everything anew: something else wrote on the terminal. */
  redraw(frame: Frame): void {
    this.#screen.realloc();
    this.draw(frame);
  }

  /** The terminal as it was. May be called at any time, and more than once. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    const { input, output } = this.#options;
    output.off('resize', this.#onResize);
    this.#screen.destroy();
    output.write(pasteOff);
    // A terminal that has gone takes no more of it.
    if (!input.destroyed) input.setRawMode(false);
  }

  #contentOf(row: Row): string {
    const { look, utf8 } = this.#options;
    const shown = row.map((span) => ({ ...span, text: forTerminal(span.text, utf8) }));
    if (!look.attributes) return textOfRow(shown);
    return shown.map(({ text, style }) => styled(text, style, look)).join('');
  }
}

/** By SGR, which blessed reads. `colour` only adds to what is there without it. */
function styled(text: string, style: Style | undefined, { colour }: Look): string {
  const codes = style === undefined ? '' : ((colour ? inColour[style] : null) ?? plain[style]);
  return codes === '' ? text : `\x1b[${codes}m${text}\x1b[0m`;
}

const plain: Readonly<Record<Style, string>> = {
  bold: '1',
  selected: '7',
  open: '1;7',
  good: '1',
  bad: '1',
  status: '7',
  faint: '',
};
const inColour: Readonly<Partial<Record<Style, string>>> = { good: '1;32', bad: '1;31', faint: '36' };

/** The terminal as blessed sees it: always with a size, and never with an error. */
class Output extends EventEmitter {
  readonly isTTY = true;
  readonly writable = true;
  readonly #terminal: WriteStream;

  constructor(terminal: WriteStream) {
    super();
    this.#terminal = terminal;
  }

  get columns(): number {
    return sizeOf(this.#terminal.columns, this.#terminal.rows).columns;
  }
  get rows(): number {
    return sizeOf(this.#terminal.columns, this.#terminal.rows).rows;
  }

  write(text: string): boolean {
    return this.#terminal.writable ? this.#terminal.write(text) : false;
  }
}
