// A process server in this process, and clients that play sources and master targets over TLS.
import fs from 'node:fs';
import path from 'node:path';
import type { Test } from 'tap';
import { ChainConnection, type ChainListener } from '../../core/chain/chain-connection.ts';
import type { Ack, Head, Hello, Note, Relay, Welcome } from '../../core/chain/messages.ts';
import { openChain } from '../../core/chain/open-chain.ts';
import { loadConfig } from '../../core/config.ts';
import type { HomewardError } from '../../core/errors.ts';
import type { Files } from '../../core/files/files.ts';
import { hostFiles } from '../../core/files/host-files.ts';
import { signAssignment, type Assignment, type SignedAssignment } from '../../core/identity/assignment.ts';
import { writeIdentity, type HostIdentity } from '../../core/identity/host-identity.ts';
import { createLog, silentLog } from '../../core/log.ts';
import { encodeNote } from '../../core/record/notes.ts';
import { encodeRecord, parseRecordRun, recordBytes } from '../../core/record/record-run.ts';
import { machineMark, RecordKind, type RecordHeader } from '../../core/record/record.ts';
import { systemError } from '../../core/system-error.ts';
import { startDaemon, type Daemon } from '../../process-server/daemon.ts';
import { identitySite, type IdentitySite } from './identity-site.ts';
import { until } from './homeward.ts';
import { temporaryDirectory } from './temporary.ts';

/** What differs from a first hello. */
export type SourceHelloParts = { head?: number; heldFrom?: number; generation?: number; target?: number };
export type TargetHelloParts = { durable?: number; applied?: number; generation?: number };

/** A machine with its source and master target. */
export interface SpoolMachine {
  assignment: Assignment;
  source: HostIdentity;
  masterTarget: HostIdentity;
}

export class SpoolSite {
  readonly identities: IdentitySite;
  readonly #host: HostIdentity;
  readonly #t: Test;
  readonly #directory: string;
  readonly log: string[] = [];
  data: string;
  daemon: Daemon | null = null;
  /** What goes wrong with the files of spools. */
  readonly faults = { allocate: false, sync: false };
  #environment: Record<string, string>;
  #copies = 0;

  private constructor(
    t: Test,
    identities: IdentitySite,
    host: HostIdentity,
    settings: Record<string, string>,
  ) {
    this.#t = t;
    this.identities = identities;
    this.#host = host;
    this.#directory = temporaryDirectory(t);
    this.data = path.join(this.#directory, 'data');
    this.#environment = settings;
  }

  /** Settings are spelled as in the environment, without HOMEWARD_. */
  static async start(t: Test, settings: Record<string, string> = {}): Promise<SpoolSite> {
    const identities = await identitySite();
    const site = new SpoolSite(t, identities, await identities.host('process-server'), settings);
    writeIdentity(site.data, site.#host);
    t.teardown(async () => {
      await site.stop();
      if (!t.passing()) t.comment(site.log.join(''));
    });
    await site.restart();
    return site;
  }

  get hostId(): string {
    return this.#host.hostId;
  }
  get port(): number {
    return Number(/:(\d+)$/.exec(this.daemon?.address ?? '')?.[1]);
  }

  async restart(settings: Record<string, string> = this.#environment): Promise<void> {
    await this.stop();
    this.#environment = settings;
    const all = { SEGMENT_BYTES: '64K', SPOOL_RESERVE_BYTES: '0', LOG_LEVEL: 'debug', ...settings };
    const environment = Object.fromEntries(
      Object.entries(all).map(([key, value]) => [`HOMEWARD_${key}`, value]),
    );
    this.daemon = await startDaemon({
      data: this.data,
      listen: { host: '127.0.0.1', port: 0 },
      configServer: '127.0.0.1:1',
      passphraseFile: null,
      advertise: [],
      config: loadConfig({ file: null, environment, log: silentLog }),
      log: createLog('debug', (line) => this.log.push(line)),
      version: '1.0.0',
      files: this.#files(),
      signal: new AbortController().signal,
    });
  }

  #files(): Files {
    return {
      ...hostFiles,
      allocate: (fd, bytes) => {
        if (this.faults.allocate) throw systemError('ENOSPC', 'fallocate');
        hostFiles.allocate(fd, bytes);
      },
      sync: (fd) => (this.faults.sync ? Promise.reject(systemError('EIO', 'fdatasync')) : hostFiles.sync(fd)),
    };
  }

  async stop(): Promise<void> {
    await this.daemon?.stop();
    this.daemon = null;
  }

  /** As if the process had been killed now: another goes on with the files as they are. */
  async killAndRestart(): Promise<void> {
    this.#copies += 1;
    const copy = path.join(this.#directory, `data-${this.#copies}`);
    fs.cpSync(this.data, copy, { recursive: true });
    await this.stop();
    this.data = copy;
    await this.restart();
  }

  async machine(name: string): Promise<SpoolMachine> {
    const [source, masterTarget] = [
      await this.identities.host('mobility'),
      await this.identities.host('master-target'),
    ];
    const assignment: Assignment = {
      machine: crypto.randomUUID(),
      name,
      epoch: 1,
      source: source.hostId,
      masterTarget: masterTarget.hostId,
      processServer: { hostId: this.hostId, addresses: [] },
      disks: [{ name: 'root', size: 1024 * 1024 * 1024 }],
      seeds: [],
      windowMs: 1000,
      consistencyIntervalMs: 0,
      ended: false,
    };
    return { assignment, source, masterTarget };
  }

  sign(assignment: Assignment): SignedAssignment {
    return signAssignment(this.identities.authority, assignment);
  }

  spoolOf({ assignment }: SpoolMachine): string {
    return path.join(this.data, 'spool', assignment.machine);
  }

  segmentsOf(machine: SpoolMachine): string[] {
    const directory = this.spoolOf(machine);
    const names = fs.readdirSync(directory).filter((name) => name.endsWith('.seg'));
    return names.sort().map((name) => path.join(directory, name));
  }

  async source(
    machine: SpoolMachine,
    parts: SourceHelloParts = {},
    identity = machine.source,
  ): Promise<ChainClient> {
    const base = {
      version: '1.0.0',
      assignment: this.sign(machine.assignment),
      compress: true,
      generation: 1,
    };
    return this.#connect(machine, identity, { role: 'source', ...base, head: 0, heldFrom: 1, ...parts });
  }

  async target(
    machine: SpoolMachine,
    parts: TargetHelloParts = {},
    identity = machine.masterTarget,
  ): Promise<ChainClient> {
    const base = {
      version: '1.0.0',
      assignment: this.sign(machine.assignment),
      compress: true,
      generation: 0,
    };
    return this.#connect(machine, identity, { role: 'target', ...base, durable: 0, applied: 0, ...parts });
  }

  async #connect(machine: SpoolMachine, identity: HostIdentity, hello: Hello): Promise<ChainClient> {
    const { socket, first } = await openChain({
      identity,
      addresses: [this.daemon?.address ?? ''],
      hostId: this.hostId,
      signal: AbortSignal.timeout(10_000),
    });
    const client = new ChainClient(machine);
    client.connection = new ChainConnection({ socket, first, listener: client, log: silentLog });
    this.#t.teardown(() => client.connection?.destroy());
    client.connection.sendHello(hello);
    await until('a welcome or the end', () => client.welcomed !== null || client.ended !== undefined);
    return client;
  }
}

/** A client that keeps everything it hears. */
export class ChainClient implements ChainListener {
  connection: ChainConnection | null = null;
  welcomed: Welcome | null = null;
  readonly acks: Ack[] = [];
  readonly notes: Note[] = [];
  readonly heads: Head[] = [];
  readonly relays: Relay[] = [];
  readonly headers: RecordHeader[] = [];
  bytes: Buffer = Buffer.alloc(0);
  /** Records and heads in the order in which they came. */
  readonly order: string[] = [];
  /** Set at the end; null when this side ended it. */
  ended: HomewardError | null | undefined;
  readonly #machine: SpoolMachine;

  constructor(machine: SpoolMachine) {
    this.#machine = machine;
  }

  welcome(welcome: Welcome): void {
    this.welcomed = welcome;
  }
  records(body: Buffer): void {
    const run = parseRecordRun(body, markOf(this.#machine), { payloads: true });
    this.headers.push(...run.headers);
    this.order.push(...run.headers.map(({ lsn }) => `record ${lsn}`));
    this.bytes = Buffer.concat([this.bytes, body]);
  }
  ack(ack: Ack): void {
    this.acks.push(ack);
  }
  head(head: Head): void {
    this.heads.push(head);
    this.order.push(`head ${head.lsn}`);
  }
  relay(relay: Relay): void {
    this.relays.push(relay);
  }
  note(note: Note): void {
    this.notes.push(note);
  }
  closed(error: HomewardError | null): void {
    this.ended = error;
  }

  get lsns(): number[] {
    return this.headers.map(({ lsn }) => lsn);
  }
  get acked(): Ack {
    return this.acks.at(-1) ?? { spooled: -1, target: -1, applied: -1 };
  }
  send(...records: Buffer[]): void {
    this.connection?.sendRecords(records);
  }
  /** A master target says what it has. */
  has(durable: number, applied = durable): void {
    this.connection?.sendAck({ spooled: durable, target: durable, applied });
  }
  async spooled(lsn: number): Promise<void> {
    await until(`spooled ${lsn}`, () => this.acked.spooled >= lsn || this.ended !== undefined);
    if (this.ended !== undefined) throw new Error(`ended: ${this.ended?.message}`);
  }
  async received(lsn: number): Promise<void> {
    await until(`record ${lsn}`, () => (this.lsns.at(-1) ?? 0) >= lsn || this.ended !== undefined);
    if (this.ended !== undefined) throw new Error(`ended: ${this.ended?.message}`);
  }
  async noted(kind: Note['kind']): Promise<Note> {
    await until(`a note ${kind}`, () => this.notes.some((note) => note.kind === kind));
    return this.notes.find((note) => note.kind === kind) as Note;
  }
  async end(): Promise<void> {
    this.connection?.close();
    await until('the end', () => this.ended !== undefined);
  }
}

const markOf = ({ assignment }: SpoolMachine): ReturnType<typeof machineMark> =>
  machineMark(Buffer.from(assignment.machine.replaceAll('-', ''), 'hex'));

export interface RecordParts {
  kind?: RecordHeader['kind'];
  generation?: number;
  /** Bytes of data of a write. */
  bytes?: number;
  /** What a `sync-begin` says of what it copies. */
  note?: { full?: boolean; part?: boolean; checksums?: boolean };
}

/** A record of `machine`: a write of 4 KiB when nothing else is said. */
export function makeRecord(machine: SpoolMachine, lsn: number, parts: RecordParts = {}): Buffer {
  const { kind = RecordKind.write, generation = 1, bytes = 4096, note } = parts;
  const data = dataOf(kind, lsn, bytes, note);
  const record = Buffer.alloc(recordBytes(data.length));
  const isWrite = kind === RecordKind.write;
  const place = { disk: 0, offset: isWrite ? lsn * 65_536 : 0, length: isWrite ? data.length : 0 };
  encodeRecord(
    record,
    0,
    { kind, flags: 0, lsn, time: lsn * 1000, generation, ...place },
    data,
    markOf(machine),
  );
  return record;
}

export function makeRecords(
  machine: SpoolMachine,
  from: number,
  to: number,
  parts: RecordParts = {},
): Buffer[] {
  return Array.from({ length: to - from + 1 }, (_, index) => makeRecord(machine, from + index, parts));
}

function dataOf(kind: number, lsn: number, bytes: number, note: RecordParts['note']): Buffer {
  if (kind === RecordKind.write) return Buffer.alloc(bytes, lsn & 0xff);
  if (kind === RecordKind.syncBegin) return encodeNote({ reason: 'test', disks: [], ...note });
  return kind === RecordKind.tag ? encodeNote({ name: `t${lsn}`, consistency: 'user' }) : encodeNote({});
}

export const makeHead = (lsn: number): Head => ({
  lsn,
  time: lsn * 1000,
  state: 'ok',
  backlogBytes: 0,
  dirtyBytes: 0,
  sync: null,
});

/** LSNs, both ends included. */
export const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, index) => from + index);

/** Turns a byte of the data, or of the header, of a record in a spool file. */
export function damageRecord(
  site: SpoolSite,
  machine: SpoolMachine,
  lsn: number,
  where: 'data' | 'header',
): void {
  const record = makeRecord(machine, lsn);
  for (const file of site.segmentsOf(machine)) {
    const content = fs.readFileSync(file);
    const at = content.indexOf(record.subarray(0, 64));
    if (at < 0) continue;
    const place = at + (where === 'data' ? 64 + 100 : 20);
    content[place] = (content[place] ?? 0) ^ 0xff;
    fs.writeFileSync(file, content);
    return;
  }
  throw new Error(`no record ${lsn}`);
}
