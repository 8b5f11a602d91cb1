// A process server in a few lines, on a Unix socket: keeps what it is sent in order, and fails as a test
// wants.
import net from 'node:net';
import path from 'node:path';
import type { Test } from 'tap';
import { ChainConnection, type ChainListener } from '../../core/chain/chain-connection.ts';
import type { Head, Note, Relay, SourceHello } from '../../core/chain/messages.ts';
import { HomewardError } from '../../core/errors.ts';
import { silentLog } from '../../core/log.ts';
import { parseRecordRun } from '../../core/record/record-run.ts';
import { machineMark, recordHeaderBytes, RecordKind, type RecordHeader } from '../../core/record/record.ts';
import { temporaryDirectory } from './temporary.ts';

export interface KeptRecord extends RecordHeader {
  /** Everything behind the header. */
  payload: Buffer;
}

export class FakeProcessServer {
  readonly records: KeptRecord[] = [];
  readonly hellos: SourceHello[] = [];
  readonly heads: Head[] = [];
  readonly notes: Note[] = [];
  /** What was sent a second time, or out of order: nothing should be. */
  readonly faults: string[] = [];
  spooled = 0;
  target = 0;
  generation = 0;
  /** Whether records are acknowledged as they come, and whether the target follows at once. */
  acks = true;
  targetFollows = true;
  /** Frames with records until the connection is cut; then it counts anew. */
  framesUntilCut = Infinity;
  /** Whether the records of the frame that is cut were taken. */
  takesCutFrame = true;
  /** Answers to the wish for a place. */
  ahead = 0;
  /** Answers questions for hashes; without it there is no master target. */
  hashes: ((relay: Extract<Relay, { kind: 'hashes-wanted' }>) => Relay) | null = null;
  /** Refuses connections. */
  away = false;
  refusal: HomewardError | null = null;
  readonly #mark;
  readonly #server: net.Server;
  readonly #connections = new Set<ChainConnection>();
  #path = '';

  constructor(machine: Buffer) {
    this.#mark = machineMark(machine);
    this.#server = net.createServer((socket) => this.#accept(socket));
  }

  static async start(t: Test, machine: string): Promise<FakeProcessServer> {
    const server = new FakeProcessServer(Buffer.from(machine.replaceAll('-', ''), 'hex'));
    server.#path = path.join(temporaryDirectory(t), 'chain.sock');
    await new Promise<void>((resolve) => server.#server.listen(server.#path, resolve));
    t.teardown(() => server.close());
    return server;
  }

  /** Stands in for `openChain`. */
  open = async (): Promise<{ socket: net.Socket; first: Buffer }> => {
    if (this.away) throw new HomewardError('connection-refused', 'the test says so');
    const socket = net.connect(this.#path);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return { socket, first: Buffer.alloc(0) };
  };

  get connected(): boolean {
    return this.#connections.size > 0;
  }
  get tags(): { lsn: number; name: string }[] {
    return this.records
      .filter(({ kind }) => kind === RecordKind.tag)
      .map(({ lsn, payload }) => ({ lsn, ...(JSON.parse(payload.toString()) as { name: string }) }));
  }
  get syncs(): { lsn: number; reason: string; checksums?: boolean }[] {
    return this.records
      .filter(({ kind }) => kind === RecordKind.syncBegin)
      .map(({ lsn, payload }) => ({ lsn, ...(JSON.parse(payload.toString()) as { reason: string }) }));
  }
  count(kind: RecordKind): number {
    return this.records.filter((record) => record.kind === kind).length;
  }

  cut(): void {
    for (const connection of this.#connections) connection.destroy();
  }
  note(note: Note): void {
    for (const connection of this.#connections) connection.sendNote(note);
  }
  ack(): void {
    const { spooled, target } = this;
    for (const connection of this.#connections) connection.sendAck({ spooled, target, applied: 0 });
  }
  async close(): Promise<void> {
    this.cut();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #accept(socket: net.Socket): void {
    const listener: ChainListener = {
      hello: (hello) => this.#hello(connection, hello as SourceHello),
      records: (body) => this.#records(connection, body),
      head: (head) => this.heads.push(head),
      note: (note) => {
        this.notes.push(note);
        if (note.kind === 'sync-wanted') connection.sendNote({ kind: 'sync-place', ahead: this.ahead });
      },
      relay: (relay) => {
        if (relay.kind === 'hashes-wanted' && this.hashes !== null) connection.sendRelay(this.hashes(relay));
      },
      closed: () => this.#connections.delete(connection),
    };
    const connection = new ChainConnection({ socket, first: Buffer.alloc(0), listener, log: silentLog });
  }

  #hello(connection: ChainConnection, hello: SourceHello): void {
    this.hellos.push(hello);
    if (this.refusal !== null) return connection.fail(this.refusal);
    for (const other of this.#connections) other.destroy();
    this.#connections.add(connection);
    const { spooled, target, generation } = this;
    connection.sendWelcome({ compress: hello.compress, generation, spooled, target, applied: 0, oldest: 1 });
  }

  #records(connection: ChainConnection, body: Buffer): void {
    this.framesUntilCut -= 1;
    const isCut = this.framesUntilCut <= 0;
    if (!isCut || this.takesCutFrame) this.#take(body);
    if (isCut) {
      this.framesUntilCut = Infinity;
      return connection.destroy();
    }
    if (this.acks) this.ack();
  }

  #take(body: Buffer): void {
    const { headers, positions } = parseRecordRun(body, this.#mark, { payloads: true });
    for (const [index, header] of headers.entries()) {
      const begins = header.kind === RecordKind.syncBegin && header.generation > this.generation;
      if (header.lsn !== this.spooled + 1 && !(begins && header.lsn > this.spooled))
        this.faults.push(`${header.lsn} came behind ${this.spooled}`);
      const at = (positions[index] ?? 0) + recordHeaderBytes;
      this.records.push({ ...header, payload: body.subarray(at, at + header.payloadBytes) });
      this.spooled = header.lsn;
      this.generation = header.generation;
    }
    if (this.targetFollows) this.target = this.spooled;
  }
}
