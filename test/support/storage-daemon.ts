// QEMU's storage daemon: a running machine's disk without the machine, mirrored the way QEMU mirrors.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import type { Test } from 'tap';
import { until } from './homeward.ts';

interface Message {
  event?: string;
  return?: unknown;
  error?: { desc: string };
}

export interface StorageDaemonOptions {
  /** Raw image of the disk; nothing else may use it meanwhile. */
  image: string;
  /** Where the machine would write: an NBD export named `source`. */
  serve: string;
  /** The export that the mirror goes to. */
  target: { socket: string; name: string };
  /** Socket of the monitor. */
  monitor: string;
}

export class StorageDaemon {
  readonly #events: string[] = [];
  #socket: Socket | null = null;
  #answer: ((message: Message) => void) | null = null;

  static async start(
    t: Test,
    { image, serve, target, monitor }: StorageDaemonOptions,
  ): Promise<StorageDaemon> {
    const child = spawn(
      'qemu-storage-daemon',
      [
        ['--blockdev', `driver=file,node-name=source,filename=${image}`],
        [
          '--blockdev',
          `driver=nbd,node-name=copy,server.type=unix,server.path=${target.socket},export=${target.name}`,
        ],
        ['--nbd-server', `addr.type=unix,addr.path=${serve}`],
        ['--export', 'type=nbd,id=front,node-name=source,name=source,writable=on'],
        ['--chardev', `socket,id=monitor,path=${monitor},server=on,wait=off`],
        ['--monitor', 'chardev=monitor'],
      ].flat(),
      { stdio: ['ignore', 'ignore', 'inherit'] },
    );
    const daemon = new StorageDaemon();
    t.teardown(async () => {
      daemon.#socket?.destroy();
      if (child.exitCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    });
    await until('the monitor to answer', () => daemon.#connect(monitor));
    await daemon.ask('qmp_capabilities');
    return daemon;
  }

  /** One command of QEMU's monitor protocol; rejects with its error. */
  async ask(execute: string, args: Record<string, unknown> = {}): Promise<unknown> {
    const answered = new Promise<Message>((resolve) => {
      this.#answer = resolve;
    });
    this.#socket?.write(JSON.stringify({ execute, arguments: args }) + '\n');
    const message = await answered;
    if (message.error !== undefined) throw new Error(`${execute}: ${message.error.desc}`);
    return message.return;
  }

  /** Whether an event of this name has come. */
  heard(event: string): boolean {
    return this.#events.includes(event);
  }

  async #connect(path: string): Promise<boolean> {
    const socket = connect(path);
    try {
      await once(socket, 'connect');
    } catch {
      return false; // it has not made its socket yet
    }
    this.#socket = socket;
    createInterface(socket).on('line', (line) => {
      const message = JSON.parse(line) as Message;
      if (message.event !== undefined) this.#events.push(message.event);
      else if ('return' in message || message.error !== undefined) this.#answer?.(message);
    });
    return true;
  }
}
