// The serial console of a virtual machine: what it prints is read, what a person would type is typed.
import { randomBytes } from 'node:crypto';
import type net from 'node:net';
import { connectTo } from './connect.ts';

export interface CommandResult {
  status: number;
  /** stdout and stderr, as a terminal shows them. */
  out: string;
}

/** Typed lines that are longer would be cut by the terminal. */
const pieceCharacters = 1000;

export class Console {
  readonly #socket: net.Socket;
  readonly #watchers = new Set<() => void>();
  #text = '';
  /** What was waited for lies before it. */
  #read = 0;
  #ended = false;

  private constructor(socket: net.Socket) {
    this.#socket = socket;
    socket.setEncoding('utf8');
    socket.on('data', (piece: string) => {
      this.#text += piece;
      this.#look();
    });
    socket.on('close', () => {
      this.#ended = true;
      this.#look();
    });
  }

  static async connect(path: string): Promise<Console> {
    return new Console(await connectTo(path));
  }

  /** Everything since the beginning. */
  get transcript(): string {
    return this.#text;
  }

  type(text: string): void {
    this.#socket.write(text);
  }

  /** Resolves with what was printed up to and with the pattern, after what was waited for before. */
  waitFor(pattern: RegExp, timeoutMs: number): Promise<string> {
    return new Promise((resolve, reject) => {
      const finish = (end: () => void): void => {
        clearTimeout(timer);
        this.#watchers.delete(look);
        end();
      };
      const look = (): void => {
        const found = pattern.exec(this.#text.slice(this.#read));
        if (found !== null) {
          const from = this.#read;
          this.#read += found.index + found[0].length;
          finish(() => resolve(this.#text.slice(from, this.#read)));
        } else if (this.#ended) finish(() => reject(this.#failure(`the console ended before ${pattern}`)));
      };
      const timer = setTimeout(
        () => finish(() => reject(this.#failure(`no ${pattern} on the console in ${timeoutMs} ms`))),
        timeoutMs,
      );
      this.#watchers.add(look);
      look();
    });
  }

  /** Waits for the shell that the machine logs root in to, and makes it one that repeats nothing. */
  async logIn(timeoutMs: number): Promise<void> {
    await this.waitFor(/root@\w+:~# /, timeoutMs);
    this.type('exec env PS1= PS2= TERM=dumb bash --noprofile --norc --noediting\n');
    this.type("stty -echo cols 200 rows 50; PS1=; echo logged''in\n");
    await this.waitFor(/loggedin\r?\n/, 60_000);
  }

  /** Runs a command of any number of lines in that shell. */
  async run(command: string, timeoutMs = 60_000): Promise<CommandResult> {
    const mark = `end-${randomBytes(6).toString('hex')}`;
    const encoded = Buffer.from(command).toString('base64');
    this.type('C=\n');
    for (let at = 0; at < encoded.length; at += pieceCharacters)
      this.type(`C="\${C}${encoded.slice(at, at + pieceCharacters)}"\n`);
    this.type(`eval "$(echo $C | base64 -d)" </dev/null; echo "${mark.slice(0, 8)}""${mark.slice(8)} $?"\n`);
    const text = await this.waitFor(new RegExp(`${mark} \\d+\\r?\\n`), timeoutMs);
    const end = text.lastIndexOf(mark);
    return { status: Number(text.slice(end + mark.length)), out: text.slice(0, end).replaceAll('\r', '') };
  }

  close(): void {
    this.#socket.destroy();
  }

  #look(): void {
    for (const look of [...this.#watchers]) look();
  }

  #failure(what: string): Error {
    return new Error(`${what}; it said:\n${this.#text.slice(this.#read).slice(-4000)}`);
  }
}
