// A program in a real pseudo-terminal, driven as a person does: waits for words, types, hangs up.
import { spawn, type IPty } from 'node-pty';
import { stripVTControlCharacters } from 'node:util';
import type { Test } from 'tap';

/** Nothing that is waited for takes longer. */
const patienceMs = 60_000;

export interface TerminalOptions {
  env?: Record<string, string>;
  columns?: number;
  rows?: number;
  cwd?: string;
  uid?: number;
}

export interface TerminalEnd {
  /** Null when a signal ended it. */
  status: number | null;
  signal: number | null;
}

interface Waiting {
  look(): boolean;
}

/** It is killed when the test ends. */
export class Terminal {
  readonly #pty: IPty;
  readonly #waiting = new Set<Waiting>();
  #seen = '';
  /** Where the next `waitFor` begins. */
  #at = 0;
  #end: TerminalEnd | null = null;

  constructor(t: Pick<Test, 'teardown'>, program: string, args: string[], options: TerminalOptions = {}) {
    const { columns = 100, rows = 30, env = {}, cwd, uid } = options;
    this.#pty = spawn(program, args, {
      name: 'xterm',
      cols: columns,
      rows,
      env: { ...process.env, ...env },
      ...(cwd === undefined ? {} : { cwd }),
      ...(uid === undefined ? {} : { uid, gid: uid }),
    });
    this.#pty.onData((piece) => {
      this.#seen += piece;
      this.#lookAgain();
    });
    this.#pty.onExit(({ exitCode, signal = 0 }) => {
      this.#end = { status: signal === 0 ? exitCode : null, signal: signal === 0 ? null : signal };
      this.#lookAgain();
    });
    t.teardown(() => {
      if (this.#end === null) this.#pty.kill('SIGKILL');
    });
  }

  get pid(): number {
    return this.#pty.pid;
  }

  /** All that was ever shown, as plain lines. */
  get text(): string {
    return stripVTControlCharacters(this.#seen).replaceAll('\r', '');
  }

  /** Waits until `wanted` is shown after what was waited for last. */
  async waitFor(wanted: string | RegExp): Promise<void> {
    const find = (): boolean => {
      const rest = this.text.slice(this.#at);
      const at = typeof wanted === 'string' ? rest.indexOf(wanted) : rest.search(wanted);
      if (at === -1) return false;
      const length = typeof wanted === 'string' ? wanted.length : (wanted.exec(rest)?.[0].length ?? 0);
      this.#at += at + length;
      return true;
    };
    await this.#until(find, `"${String(wanted)}" to be shown`);
  }

  type(text: string): void {
    this.#pty.write(text);
  }

  /** A line, with Enter. */
  answer(text: string): void {
    this.type(`${text}\r`);
  }

  /** To the program itself, not to what it has started. */
  kill(signal: NodeJS.Signals): void {
    process.kill(this.pid, signal);
  }

  resize(columns: number, rows: number): void {
    this.#pty.resize(columns, rows);
  }

  async ended(): Promise<TerminalEnd> {
    await this.#until(() => this.#end !== null, 'the program to end');
    return this.#end ?? { status: null, signal: null };
  }

  #lookAgain(): void {
    for (const { look } of this.#waiting) look();
  }

  #until(isSo: () => boolean, what: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiting: Waiting = { look };
      const done = (settle: () => void): void => {
        clearTimeout(deadline);
        this.#waiting.delete(waiting);
        settle();
      };
      const stop = (why: string): void =>
        done(() =>
          reject(new Error(`waited for ${what}, but ${why}; shown was:\n${this.text.slice(-3000)}`)),
        );
      const deadline = setTimeout(() => stop('in vain'), patienceMs);
      const isOver = (): boolean => this.#end !== null;
      function look(): boolean {
        if (isSo()) done(resolve);
        else if (isOver()) stop('the program ended');
        return true;
      }
      this.#waiting.add(waiting);
      look();
    });
  }
}
