// A master target in this process, and a process server that is played by the test over real TLS.
import { once } from 'node:events';
import fs from 'node:fs';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import type { Test } from 'tap';
import { connectControl, type ControlClient, type MachineStatus } from '../../agent/control/client.ts';
import { startDaemon } from '../../agent/daemon.ts';
import { ChainConnection } from '../../core/chain/chain-connection.ts';
import { endsConnections } from '../../core/end-connections.ts';
import type { Ack, AgainHello, Head, Relay, TargetHello } from '../../core/chain/messages.ts';
import { loadConfig } from '../../core/config.ts';
import { HomewardError } from '../../core/errors.ts';
import {
  openAssignmentBook,
  signAssignment,
  verifyAssignment,
  type Assignment,
  type AssignedSeed,
  type SignedAssignment,
} from '../../core/identity/assignment.ts';
import { writeIdentity, type HostIdentity } from '../../core/identity/host-identity.ts';
import { serverTls } from '../../core/identity/tls.ts';
import { createLog, silentLog } from '../../core/log.ts';
import { encodeNote, type SyncBeginNote } from '../../core/record/notes.ts';
import { encodeRecord, recordBytes } from '../../core/record/record-run.ts';
import { machineMark, RecordKind, type RecordHeader } from '../../core/record/record.ts';
import { MiB } from '../../core/units.ts';
import { until } from './homeward.ts';
import { identitySite, type IdentitySite } from './identity-site.ts';
import { temporaryDirectory } from './temporary.ts';

/** What a source has recorded: numbers and times are given here, the bytes are those of the wire. */
export class PlayedSource {
  readonly assignment: Assignment;
  readonly records: { lsn: number; bytes: Buffer }[] = [];
  generation = 0;
  lsn = 0;
  time = Date.now() * 1000;
  readonly #changed: () => void;

  constructor(assignment: Assignment, changed: () => void) {
    this.assignment = assignment;
    this.#changed = changed;
  }

  write(disk: number, offset: number, data: Buffer): number {
    return this.add({ kind: RecordKind.write, disk, offset, length: data.length }, data);
  }
  zero(disk: number, offset: number, length: number): number {
    return this.add({ kind: RecordKind.zero, disk, offset, length }, null);
  }
  syncBegin(note: Partial<SyncBeginNote> = {}, skip = 0): number {
    this.generation += 1;
    this.lsn += skip;
    const whole = { reason: 'initial sync', disks: this.assignment.disks, ...note };
    return this.add({ kind: RecordKind.syncBegin }, encodeNote(whole));
  }
  syncEnd(): number {
    return this.add({ kind: RecordKind.syncEnd }, encodeNote({}));
  }
  tag(name: string): number {
    return this.add({ kind: RecordKind.tag }, encodeNote({ name, consistency: 'crash' }));
  }

  add(change: Partial<RecordHeader> & Pick<RecordHeader, 'kind'>, data: Buffer | null): number {
    this.lsn += 1;
    this.time += 1000;
    const { lsn, generation, time } = this;
    const bytes = Buffer.alloc(recordBytes(data?.length ?? 0));
    const place = { flags: 0, disk: 0, offset: 0, length: 0 };
    encodeRecord(bytes, 0, { ...place, lsn, generation, time, ...change }, data, this.mark);
    this.records.push({ lsn, bytes });
    this.#changed();
    return lsn;
  }

  get mark(): ReturnType<typeof machineMark> {
    return machineMark(Buffer.from(this.assignment.machine.replaceAll('-', ''), 'hex'));
  }
  head(change: Partial<Head> = {}): Head {
    const base = { state: 'ok', backlogBytes: 0, dirtyBytes: 0, sync: null, processServerBytes: 0 } as const;
    return { lsn: this.lsn, time: Date.now() * 1000, ...base, ...change };
  }
}

/** One stream of the master target, as the process server sees it. */
export interface PlayedStream {
  hello: TargetHello;
  machine: string;
  connection: ChainConnection;
  acks: Ack[];
  relays: Relay[];
  /** Why it ended; undefined while it stands. */
  ended: HomewardError | null | undefined;
}

export class PullSite {
  readonly identities: IdentitySite;
  readonly processServer: HostIdentity;
  readonly host: HostIdentity;
  readonly streams: PlayedStream[] = [];
  readonly sources = new Map<string, PlayedSource>();
  readonly data: string;
  readonly log: string[] = [];
  /** What goes out for a record; tests damage it here. Null: nothing more is sent on this stream. */
  outgoing: (lsn: number, bytes: Buffer) => Buffer | null = (_lsn, bytes) => bytes;
  /** What is sent for a record that is asked for again, null for nothing; without it that is not known. */
  again: ((lsn: number, bytes: Buffer) => Buffer | null) | null = null;
  client: ControlClient;
  /** Nobody listens there, unless a test has another. */
  configServer = '127.0.0.1:1';
  passphraseFile: string | null = null;
  readonly #t: Test;
  readonly #settings: Record<string, string>;
  #port = 0;
  #recoveries = 0;
  #daemon: { stop(): Promise<void> } | null = null;

  private constructor(
    t: Test,
    identities: IdentitySite,
    hosts: HostIdentity[],
    settings: Record<string, string>,
  ) {
    const [processServer, host] = hosts;
    if (processServer === undefined || host === undefined) throw new Error('two hosts are needed');
    this.#t = t;
    this.identities = identities;
    this.processServer = processServer;
    this.host = host;
    this.data = temporaryDirectory(t);
    this.client = connectControl(this.control);
    this.#settings = { SEGMENT_BYTES: '64K', RETENTION_RESERVE_BYTES: '0', ...settings };
  }

  static async start(t: Test, settings: Record<string, string> = {}): Promise<PullSite> {
    const identities = await identitySite();
    const hosts = [await identities.host('process-server'), await identities.host('master-target')];
    const site = new PullSite(t, identities, hosts, settings);
    await site.#listen();
    t.teardown(async () => {
      await site.stop();
      await site.client.close();
      if (!t.passing()) t.comment(site.log.join(''));
    });
    writeIdentity(site.data, site.host);
    return site;
  }

  /** For the next start. */
  settings(change: Record<string, string>): void {
    Object.assign(this.#settings, change);
  }

  get control(): string {
    return path.join(this.data, 'control.sock');
  }

  /** The master target runs when it resolves; what is assigned is pulled. */
  async startTarget(): Promise<void> {
    const environment = Object.fromEntries(
      Object.entries(this.#settings).map(([key, value]) => [`HOMEWARD_${key}`, value]),
    );
    this.#daemon = await startDaemon({
      data: this.data,
      retention: path.join(this.data, 'retention'),
      replicas: path.join(this.data, 'replicas'),
      control: this.control,
      config: loadConfig({ file: null, environment, log: silentLog }),
      log: createLog('debug', (line) => this.log.push(line)),
      version: '1.0.0',
      configServer: this.configServer,
      ...(this.passphraseFile === null ? {} : { passphraseFile: this.passphraseFile }),
    });
  }

  async stop(): Promise<void> {
    await this.#daemon?.stop();
    this.#daemon = null;
  }

  /** Assigns a machine before the master target is started. */
  assign(
    name: string,
    disks: { name: string; size: number }[] = [{ name: 'root', size: 4 * MiB }],
    change: Partial<Assignment> & { seeds?: AssignedSeed[] } = {},
  ): PlayedSource {
    const source = this.source(name, disks, change);
    const book = openAssignmentBook(path.join(this.data, 'assignments.json'), this.host.authority);
    book.accept(this.sign(source.assignment));
    return source;
  }

  sign(assignment: Assignment): SignedAssignment {
    return signAssignment(this.identities.authority, assignment);
  }

  /** A source whose assignment the master target has not seen. */
  source(
    name: string,
    disks: { name: string; size: number }[] = [{ name: 'root', size: 4 * MiB }],
    change: Partial<Assignment> = {},
  ): PlayedSource {
    const assignment: Assignment = {
      machine: crypto.randomUUID(),
      name,
      epoch: 1,
      source: crypto.randomUUID(),
      masterTarget: this.host.hostId,
      processServer: { hostId: this.processServer.hostId, addresses: [`127.0.0.1:${this.#port}`] },
      disks,
      seeds: [],
      windowMs: 3_600_000,
      consistencyIntervalMs: 0,
      ended: false,
      ...change,
    };
    const source = new PlayedSource(assignment, () => this.#sendAll());
    this.sources.set(assignment.machine, source);
    return source;
  }

  /** The newest stream of a machine that stands. */
  streamOf(source: PlayedSource): PlayedStream | null {
    const { machine } = source.assignment;
    return (
      this.streams.findLast((stream) => stream.machine === machine && stream.ended === undefined) ?? null
    );
  }

  sendHead(source: PlayedSource, change: Partial<Head> = {}): void {
    this.streamOf(source)?.connection.sendHead(source.head(change));
  }

  /** What the master target has said is durable. */
  durable(source: PlayedSource): number {
    return this.streamOf(source)?.acks.at(-1)?.target ?? 0;
  }
  settled(source: PlayedSource): Promise<void> {
    return until(`record ${source.lsn} to be durable`, () => this.durable(source) >= source.lsn);
  }

  async restartTarget(): Promise<void> {
    await this.stop();
    await this.startTarget();
  }

  /** The content of the first disk at WHEN. */
  async recovered(machine: string, at: string, disk = 0): Promise<Buffer> {
    this.#recoveries += 1;
    const directory = path.join(this.data, `recovered-${this.#recoveries}`);
    const request = { machine, at, target: { kind: 'raw', directory } as const, overwrite: [] };
    const { disks } = await this.client.recover(request, () => undefined, new AbortController().signal);
    return fs.readFileSync(disks[disk]?.to ?? '');
  }

  async status(name: string): Promise<MachineStatus> {
    const { machines } = await this.client.status();
    const found = machines.find((machine) => machine.name === name);
    if (found === undefined) throw new Error(`no machine ${name}`);
    return found;
  }

  async #listen(): Promise<void> {
    const server = https.createServer(serverTls(this.processServer, 'required'));
    server.on('upgrade', (_request, socket, first: Buffer) => {
      socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: homeward-chain/1\r\n\r\n',
      );
      this.#serve(socket as PlayedSocket, first);
    });
    const endConnections = endsConnections(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    this.#port = (server.address() as AddressInfo).port;
    this.#t.teardown(async () => {
      for (const { connection } of this.streams) connection.destroy();
      endConnections();
      await new Promise((resolve) => server.close(resolve));
    });
  }

  #serve(socket: PlayedSocket, first: Buffer): void {
    let stream: PlayedStream | null = null;
    const connection = new ChainConnection({
      socket,
      first,
      log: silentLog,
      listener: {
        hello: (hello) => {
          if (hello.role === 'again') return this.#sendAgain(connection, hello);
          if (hello.role !== 'target') throw new HomewardError('not-assigned', 'a target was expected');
          const { machine } = verifyAssignment(this.host.authority, hello.assignment);
          stream = { hello, machine, connection, acks: [], relays: [], ended: undefined };
          const sent = { spooled: this.sources.get(machine)?.lsn ?? 0, target: hello.durable };
          const { generation } = hello;
          connection.sendWelcome({ compress: true, generation, ...sent, applied: 0, oldest: 1 });
          connection.compress = true;
          this.streams.push(stream);
          this.#sent.set(stream, hello.durable);
          this.#sendAll();
        },
        ack: (ack) => stream?.acks.push(ack),
        relay: (relay) => stream?.relays.push(relay),
        closed: (error) => {
          if (stream !== null) stream.ended = error;
        },
      },
    });
  }

  /** One that does not know the question breaks the connection. */
  #sendAgain(connection: ChainConnection, { assignment, from, to }: AgainHello): void {
    const { again } = this;
    if (again === null) throw new HomewardError('chain-broken', 'a hello has another form');
    const { machine } = verifyAssignment(this.host.authority, assignment);
    const known = { compress: false, generation: 1, spooled: 0, target: 0, applied: 0, oldest: 1 };
    connection.sendWelcome(known);
    for (const { lsn, bytes } of this.sources.get(machine)?.records ?? []) {
      const out = lsn < from || lsn > to ? null : again(lsn, bytes);
      if (out !== null) connection.sendRecords([out]);
    }
    connection.sendNote({ kind: 'again-end', from, to });
    connection.close();
  }

  readonly #sent = new Map<PlayedStream, number>();

  #sendAll(): void {
    for (const stream of this.streams) {
      if (stream.ended !== undefined) continue;
      for (const { lsn, bytes } of this.sources.get(stream.machine)?.records ?? []) {
        if (lsn <= (this.#sent.get(stream) ?? 0)) continue;
        const out = this.outgoing(lsn, bytes);
        if (out === null) break;
        this.#sent.set(stream, lsn);
        stream.connection.sendRecords([out]);
      }
    }
  }
}

type PlayedSocket = ConstructorParameters<typeof ChainConnection>[0]['socket'];
