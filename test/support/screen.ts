// A program on a pseudo-terminal, with a terminal emulator that reads its screen back.
import fs from 'node:fs';
import path from 'node:path';
import headless from '@xterm/headless';
import pty, { type IPty } from 'node-pty';
import type { Test } from 'tap';
import { until } from './homeward.ts';
import { root } from './source-files.ts';

export interface ScreenOptions {
  program: string;
  args: readonly string[];
  /** Nothing of the environment of the tests but PATH and HOME. */
  env?: Readonly<Record<string, string>>;
  columns?: number;
  rows?: number;
  /** The size that the program is told, where that differs from the one that is read back. */
  told?: { columns: number; rows: number };
}

export const keys = {
  enter: '\r',
  escape: '\x1b',
  tab: '\t',
  backTab: '\x1b[Z',
  up: '\x1b[A',
  down: '\x1b[B',
  right: '\x1b[C',
  left: '\x1b[D',
  home: '\x1b[H',
  end: '\x1b[F',
  delete: '\x1b[3~',
  backspace8: '\b',
  backspace127: '\x7f',
  interrupt: '\x03',
  redraw: '\x0c',
} as const;

/** As a terminal with bracketed paste sends it, whatever key the paste was made with. */
export const pasted = (text: string): string => `\x1b[200~${text}\x1b[201~`;

/** Parts of a screen that are new each time, by what stands for them; the width stays. */
export type Masks = Readonly<Record<string, string | RegExp>>;

export class TerminalScreen {
  readonly #terminal: InstanceType<typeof headless.Terminal>;
  readonly #pty: IPty;
  #raw = '';
  #unread = 0;
  #ended: { status: number; signal: number } | null = null;

  constructor(t: Test, { program, args, env = {}, columns = 80, rows = 24, told }: ScreenOptions) {
    this.#terminal = new headless.Terminal({ cols: columns, rows, allowProposedApi: true });
    const { PATH = '', HOME = '' } = process.env;
    this.#pty = pty.spawn(program, [...args], {
      cols: told?.columns ?? columns,
      rows: told?.rows ?? rows,
      cwd: root,
      env: { PATH, HOME, TERM: 'xterm-256color', LANG: 'C.UTF-8', ...env },
    });
    this.#pty.onData((piece) => {
      this.#raw += piece;
      this.#unread += 1;
      this.#terminal.write(piece, () => (this.#unread -= 1));
    });
    // The terminal answers questions of the program, as a real one does.
    this.#terminal.onData((answer) => this.#pty.write(answer));
    this.#pty.onExit(({ exitCode, signal }) => (this.#ended = { status: exitCode, signal: signal ?? 0 }));
    t.teardown(async () => {
      if (!t.passing()) t.comment(this.text());
      if (this.#ended === null) this.#pty.kill('SIGKILL');
      await until('the program to be gone', () => this.#ended !== null);
      this.#terminal.dispose();
    });
  }

  /** Every byte that the program wrote. */
  get raw(): string {
    return this.#raw;
  }
  get pid(): number {
    return this.#pty.pid;
  }
  /** Where the program has put the cursor. */
  get cursor(): { row: number; column: number } {
    const { cursorY, cursorX } = this.#terminal.buffer.active;
    return { row: cursorY, column: cursorX };
  }

  /** Keys one after the other, as fast as somebody could. */
  type(...texts: string[]): void {
    for (const text of texts) this.#pty.write(text);
  }

  /** As they are: also half a character. */
  bytes(bytes: Buffer): void {
    this.#pty.write(bytes);
  }

  resize(columns: number, rows: number): void {
    this.#terminal.resize(columns, rows);
    this.#pty.resize(columns, rows);
  }

  /** The line is cut, as when an SSH connection drops. */
  hangUp(): void {
    (this.#pty as IPty & { destroy(): void }).destroy();
  }

  signal(name: NodeJS.Signals): void {
    this.#pty.kill(name);
  }

  /** The rows of the screen, without blanks at their ends. */
  text(): string {
    return this.rows().join('\n').trimEnd() + '\n';
  }

  rows(): string[] {
    const { active } = this.#terminal.buffer;
    return Array.from(
      { length: this.#terminal.rows },
      (_each, at) => active.getLine(active.viewportY + at)?.translateToString(true) ?? '',
    );
  }

  /** The stretches of a row that are shown in reverse. */
  reversed(): string[] {
    return this.#stretches((cell) => cell.isInverse() !== 0);
  }

  /** Whether anything on the screen has a colour. */
  hasColour(): boolean {
    return this.#stretches((cell) => !cell.isFgDefault() || !cell.isBgDefault()).length > 0;
  }

  #stretches(is: (cell: Cell) => boolean): string[] {
    const { active } = this.#terminal.buffer;
    const found: string[] = [];
    for (let y = 0; y < this.#terminal.rows; y += 1) {
      const line = active.getLine(active.viewportY + y);
      let stretch = '';
      for (let x = 0; x <= this.#terminal.cols; x += 1) {
        const cell = line?.getCell(x);
        const hit = cell !== undefined && is(cell);
        if (hit) stretch += cell.getChars() === '' ? ' ' : cell.getChars();
        else if (stretch !== '') [found[found.length], stretch] = [stretch.trimEnd(), ''];
      }
    }
    return found;
  }

  /** Resolves when everything has been read, and the screen has what was asked for. */
  async until(what: string | RegExp, timeoutMs = 20_000): Promise<void> {
    const has = (): boolean => {
      const text = this.text();
      return this.#unread === 0 && (typeof what === 'string' ? text.includes(what) : what.test(text));
    };
    const wait = until(`the screen to show ${String(what)}`, () => has() || this.#ended !== null, timeoutMs);
    await wait.catch((error: unknown) => {
      throw new Error(`${String(error)}\n${this.text()}`);
    });
    if (!has()) throw new Error(`the program ended before it showed ${String(what)}:\n${this.text()}`);
  }

  /** Resolves when it has ended, with its status, or the number of the signal that ended it. */
  async ended(): Promise<{ status: number; signal: number }> {
    await until('the program to end', () => this.#ended !== null && this.#unread === 0);
    return this.#ended ?? { status: -1, signal: 0 };
  }

  /**
   * Compares with `test/tty/screens/NAME.txt`, exactly: the rows, where the cursor is, what is in reverse.
   * HOMEWARD_SCREENS=write writes the file instead, to be read before it is committed.
   */
  matches(t: Test, name: string, masks: Masks = {}): void {
    const { row, column } = this.cursor;
    const reversed = this.reversed().map((stretch) => `reverse  ${stretch}\n`);
    const found = mask(`${this.text()}\n-- ${row + 1}:${column + 1}\n${reversed.join('')}`, masks);
    const file = path.join(root, 'test/tty/screens', `${name}.txt`);
    if (process.env['HOMEWARD_SCREENS'] === 'write') {
      fs.mkdirSync(path.dirname(file), { recursive: true });
      fs.writeFileSync(file, found);
    }
    t.equal(found, fs.readFileSync(file, 'utf8'), `the screen is that of ${name}.txt`);
  }
}

type Cell = NonNullable<
  ReturnType<
    NonNullable<ReturnType<InstanceType<typeof headless.Terminal>['buffer']['active']['getLine']>>['getCell']
  >
>;

/** Each text is replaced by the name that stands for it, cut or filled to its width. */
function mask(text: string, masks: Masks): string {
  let masked = text;
  for (const [name, value] of Object.entries(masks)) {
    masked = masked.replaceAll(value, (found: string) =>
      name.slice(0, found.length).padEnd(found.length, '.'),
    );
  }
  return masked;
}
