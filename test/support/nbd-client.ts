// A small NBD client for tests that have to say what no proper client would.
import { connect, type Socket } from 'node:net';
import { encodeRequest } from '../../core/nbd/requests.ts';
import type { NbdAddress } from '../../core/nbd/server.ts';
import { Chunk, Command, Magic, Option, OptionReply } from '../../core/nbd/protocol.ts';

export interface OptionAnswer {
  reply: number;
  data: Buffer;
}
/** `data` is what a READ or BLOCK_STATUS brought; null in a simple reply without payload. */
export interface Reply {
  cookie: number;
  errno: number;
  data: Buffer | null;
}

export function encodeOption(option: number, data: Uint8Array = new Uint8Array(0)): Buffer {
  const header = Buffer.alloc(16);
  header.writeBigUInt64BE(Magic.option, 0);
  header.writeUInt32BE(option, 8);
  header.writeUInt32BE(data.length, 12);
  return Buffer.concat([header, data]);
}

export function encodeString(text: string): Buffer {
  const bytes = Buffer.from(text);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length, 0);
  return Buffer.concat([length, bytes]);
}

export function encodeU16(...values: number[]): Buffer {
  const bytes = Buffer.alloc(2 * values.length);
  values.forEach((value, i) => bytes.writeUInt16BE(value, 2 * i));
  return bytes;
}

export function encodeU32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  values.forEach((value, i) => bytes.writeUInt32BE(value, 4 * i));
  return bytes;
}

export const encodeGo = (name: string, ...infos: number[]): Buffer =>
  Buffer.concat([encodeString(name), encodeU16(infos.length, ...infos)]);

export const encodeContexts = (name: string, ...queries: string[]): Buffer =>
  Buffer.concat([encodeString(name), encodeU32(queries.length), ...queries.map(encodeString)]);

/** One connection. Reads give up when the server has closed. */
export class NbdClient {
  readonly socket: Socket;
  #received: Buffer[] = [];
  #receivedBytes = 0;
  #waiting: (() => void)[] = [];
  #ended = false;
  structured = false;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk) => {
      this.#received.push(chunk as Buffer);
      this.#receivedBytes += chunk.length;
      this.#wake();
    });
    const ended = (): void => {
      this.#ended = true;
      this.#wake();
    };
    socket.on('close', ended);
    socket.on('end', ended);
    socket.on('error', ended);
  }

  static async connect(address: NbdAddress): Promise<NbdClient> {
    const socket = connect(address);
    const client = new NbdClient(socket);
    await client.read(18);
    return client;
  }

  /** Connected and in the transmission phase. */
  static async open(
    address: NbdAddress,
    name = '',
    options: { structured?: boolean } = {},
  ): Promise<NbdClient> {
    const client = await NbdClient.connect(address);
    client.write(encodeU32(3));
    if (options.structured ?? true) {
      await client.option(Option.structuredReply);
      await client.option(Option.setMetaContext, encodeContexts(name, 'base:allocation'));
      client.structured = true;
    }
    const answers = await client.option(Option.go, encodeGo(name));
    if (answers.at(-1)?.reply !== OptionReply.ack) throw new Error(`GO refused: ${answers.at(-1)?.reply}`);
    return client;
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  write(bytes: Uint8Array): void {
    this.socket.write(bytes);
  }

  async read(count: number): Promise<Buffer> {
    while (this.#receivedBytes < count) {
      if (this.#ended) throw new Error('closed by the server');
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
    }
    const all =
      this.#received.length === 1 ? (this.#received[0] ?? Buffer.alloc(0)) : Buffer.concat(this.#received);
    this.#received = [all.subarray(count)];
    this.#receivedBytes -= count;
    return all.subarray(0, count);
  }

  /** Resolves when the server has closed the connection. */
  async closed(): Promise<void> {
    while (!this.#ended)
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
      });
  }

  /** Sends one option and reads its answers up to the last. */
  async option(option: number, data?: Uint8Array): Promise<OptionAnswer[]> {
    this.write(encodeOption(option, data));
    return this.answers();
  }

  async answers(): Promise<OptionAnswer[]> {
    const answers: OptionAnswer[] = [];
    for (;;) {
      const header = await this.read(20);
      const reply = header.readUInt32BE(12);
      answers.push({ reply, data: Buffer.from(await this.read(header.readUInt32BE(16))) });
      if (reply === OptionReply.ack || reply >= 0x80000000) return answers;
    }
  }

  send(
    command: number,
    cookie: number,
    offset: number,
    length: number,
    payload?: Uint8Array,
    flags = 0,
  ): void {
    this.write(encodeRequest({ flags, command, cookieHigh: 0, cookieLow: cookie, offset, length }));
    if (payload !== undefined) this.write(payload);
  }

  /** The next reply; `readLength` is what a successful simple READ reply carries. */
  async reply(readLength = 0): Promise<Reply> {
    const magic = (await this.read(4)).readUInt32BE(0);
    if (magic === Magic.simpleReply) {
      const rest = await this.read(12);
      const errno = rest.readUInt32BE(0);
      const data = errno === 0 && readLength > 0 ? Buffer.from(await this.read(readLength)) : null;
      return { cookie: rest.readUInt32BE(8), errno, data };
    }
    if (magic !== Magic.structuredReply) throw new Error(`bad reply magic ${magic}`);
    const rest = Buffer.from(await this.read(16));
    const chunk = rest.readUInt16BE(2);
    const data = Buffer.from(await this.read(rest.readUInt32BE(12)));
    const errno = chunk === Chunk.error ? data.readUInt32BE(0) : 0;
    const skip = chunk === Chunk.offsetData ? 8 : chunk === Chunk.blockStatus ? 4 : 0;
    return { cookie: rest.readUInt32BE(8), errno, data: data.subarray(skip) };
  }

  /** One request and its reply, when nothing else is in flight. */
  async ask(
    command: number,
    offset: number,
    length: number,
    payload?: Uint8Array,
    flags = 0,
  ): Promise<Reply> {
    this.send(command, 77, offset, length, payload, flags);
    return this.reply(command === Command.read && !this.structured ? length : 0);
  }
}
