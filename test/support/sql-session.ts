// A client of a database that runs one statement after the other in one process, and knows when each has
// ended.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';

export class SqlSession {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  #complaint = '';

  private constructor(child: ChildProcess, lines: Interface) {
    this.#child = child;
    this.#lines = lines[Symbol.asyncIterator]();
    child.stderr?.on('data', (text: Buffer) => {
      this.#complaint += text.toString();
    });
  }

  /** `program` reads statements on stdin and answers each SELECT with lines on stdout. */
  static start(
    program: string,
    args: readonly string[],
    environment: Record<string, string> = {},
  ): SqlSession {
    const child = spawn(program, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, ...environment },
    });
    child.stdin.on('error', () => undefined); // it has ended: the next answer says so
    return new SqlSession(child, createInterface({ input: child.stdout }));
  }

  /** Runs statements of which the last answers with one line, which comes back. */
  async ask(statements: string): Promise<string> {
    this.#child.stdin?.write(`${statements}\n`);
    const { value, done } = (await this.#lines.next()) as IteratorResult<string, undefined>;
    if (done === true) throw new Error(`the database client ended: ${this.#complaint}`);
    return value;
  }

  async close(): Promise<void> {
    const ended = this.#child.exitCode === null ? once(this.#child, 'exit') : null;
    this.#child.stdin?.end();
    await ended;
  }
}
