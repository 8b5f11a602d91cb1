// The monitor of a QEMU: commands and their answers as JSON lines over a Unix socket (QMP).
import type net from 'node:net';
import { createInterface } from 'node:readline';
import { connectTo } from './connect.ts';

interface Answer {
  return?: unknown;
  error?: { class: string; desc: string };
  event?: string;
  data?: Record<string, unknown>;
}

export class Qmp {
  readonly #socket: net.Socket;
  readonly #answers: ((answer: Answer) => void)[] = [];
  readonly #events: Answer[] = [];
  readonly #watchers = new Set<() => void>();

  private constructor(socket: net.Socket) {
    this.#socket = socket;
    socket.on('close', () => {
      for (const answer of this.#answers.splice(0))
        answer({ error: { class: 'Gone', desc: 'it has ended' } });
    });
    createInterface({ input: socket }).on('line', (line) => this.#take(JSON.parse(line) as Answer));
  }

  static async connect(path: string): Promise<Qmp> {
    const socket = await connectTo(path);
    const qmp = new Qmp(socket);
    await qmp.command('qmp_capabilities');
    return qmp;
  }

  /** Rejects with what QEMU says. */
  async command(execute: string, given?: Record<string, unknown>): Promise<unknown> {
    const answered = new Promise<Answer>((resolve) => {
      this.#answers.push(resolve);
    });
    this.#socket.write(JSON.stringify({ execute, ...(given === undefined ? {} : { arguments: given }) }));
    const { error, return: result } = await answered;
    if (error !== undefined) throw new Error(`QEMU refused ${execute}: ${error.desc}`);
    return result;
  }

  /** Resolves when an event has come since the connection was made; each is waited for once. */
  async event(name: string, timeoutMs: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#watchers.delete(look);
        reject(new Error(`no ${name} from QEMU in ${timeoutMs} ms`));
      }, timeoutMs);
      const look = (): void => {
        const at = this.#events.findIndex(({ event }) => event === name);
        if (at === -1) return;
        this.#events.splice(at, 1);
        clearTimeout(timer);
        this.#watchers.delete(look);
        resolve();
      };
      this.#watchers.add(look);
      look();
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(answer: Answer): void {
    if (answer.event !== undefined) {
      this.#events.push(answer);
      for (const look of [...this.#watchers]) look();
    } else if ('return' in answer || answer.error !== undefined) this.#answers.shift()?.(answer);
  }
}
