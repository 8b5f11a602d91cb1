// A protected machine with real disks in a directory of its own, without its daemon around it, and its
// process server.
import fs from 'node:fs';
import path from 'node:path';
import type { Test } from 'tap';
import { hostClock } from '../../core/clock.ts';
import { loadConfig, type SettingKey } from '../../core/config.ts';
import type { Assignment } from '../../core/identity/assignment.ts';
import type { HostIdentity } from '../../core/identity/host-identity.ts';
import { silentLog, type Log } from '../../core/log.ts';
import { NbdErrno } from '../../core/nbd/export.ts';
import { RecordKind } from '../../core/record/record.ts';
import { MiB } from '../../core/units.ts';
import { Machine } from '../../mobility/machine.ts';
import type { ScanOrder } from '../../mobility/scan/open-scans.ts';
import { FakeProcessServer } from './fake-process-server.ts';
import { temporaryDirectory } from './temporary.ts';

const masterTarget = '00000000-0000-4000-8000-000000000002';

export const identity: HostIdentity = {
  hostId: '00000000-0000-4000-8000-000000000001',
  role: 'mobility',
  name: 'shop',
  key: '',
  certificate: '',
  authority: '',
  configServer: { host: 'localhost', port: 443 },
};

export interface SiteOptions {
  disks?: Record<string, number>;
  settings?: Partial<Record<SettingKey, string>>;
  customScript?: string;
  /** Disks of `disks` that are scanned rather than served, and how. */
  scan?: { names: readonly string[] } & Omit<ScanOrder, 'disks'>;
  log?: Log;
}

export class MobilitySite {
  readonly directory: string;
  readonly data: string;
  readonly #options: SiteOptions;
  #server: FakeProcessServer | null = null;
  #machine: Machine | null = null;
  epoch = 0;

  private constructor(t: Test, options: SiteOptions) {
    this.#options = options;
    this.directory = temporaryDirectory(t);
    this.data = path.join(this.directory, 'data');
    fs.mkdirSync(this.data);
    for (const [name, size] of Object.entries(this.sizes))
      fs.writeFileSync(this.disk(name), Buffer.alloc(size));
  }

  /** Opened, with a process server, and not protected yet. */
  static async open(t: Test, options: SiteOptions = {}): Promise<MobilitySite> {
    const site = new MobilitySite(t, options);
    t.teardown(() => site.kill());
    await site.start();
    site.#server = await FakeProcessServer.start(t, site.machine.id);
    return site;
  }

  get sizes(): Record<string, number> {
    return this.#options.disks ?? { root: 16 * MiB };
  }
  get machine(): Machine {
    if (this.#machine === null) throw new Error('the machine is not open');
    return this.#machine;
  }
  get server(): FakeProcessServer {
    if (this.#server === null) throw new Error('there is no process server yet');
    return this.#server;
  }
  disk(name: string): string {
    return path.join(this.directory, `${name}.img`);
  }

  async start(names: readonly string[] = Object.keys(this.sizes), name = 'shop'): Promise<Machine> {
    const { settings = {}, customScript = null, log = silentLog, scan } = this.#options;
    const place = (disk: string): { name: string; path: string } => ({ name: disk, path: this.disk(disk) });
    this.#machine = await Machine.open({
      data: this.data,
      name,
      disks: names.filter((disk) => scan?.names.includes(disk) !== true).map(place),
      scan: scan === undefined ? null : { ...scan, disks: scan.names.map(place) },
      customScript,
      config: loadConfig({ file: null, environment: {}, flags: settings, log }),
      clock: hostClock(),
      log,
      version: '0.0.0',
      open: () => this.server.open(),
    });
    return this.#machine;
  }

  protect(change: Partial<Assignment> = {}): void {
    const { machine } = this;
    this.epoch += 1;
    const assignment: Assignment = {
      machine: machine.id,
      name: 'shop',
      epoch: this.epoch,
      source: identity.hostId,
      masterTarget,
      processServer: { hostId: '00000000-0000-4000-8000-000000000003', addresses: ['localhost:9443'] },
      disks: [],
      seeds: [],
      windowMs: 86_400_000,
      consistencyIntervalMs: 0,
      ended: false,
      ...change,
    };
    machine.protection.assign(identity, assignment, { text: JSON.stringify(assignment), signature: '' });
  }

  /** Answers like a client's write, which is on disk and numbered then, or not to be recorded. */
  write(offset: number, payload: Buffer, name = 'root'): Promise<void> {
    const disk = this.machine.front.exports.find((each) => each.name === name);
    if (disk === undefined) throw new Error(`no disk ${name}`);
    return new Promise((resolve, reject) => {
      disk.write(payload, offset, false, { retain: () => undefined, release: () => undefined }, (errno) => {
        if (errno === NbdErrno.ok) resolve();
        else reject(new Error(`the write failed with ${errno}`));
      });
    });
  }

  /** A clean stop. */
  async stop(): Promise<void> {
    const machine = this.#machine;
    this.#machine = null;
    await machine?.stopTags();
    await machine?.close();
  }

  /** As if killed: nothing more gets to the data directory, which the next start finds as it is now. */
  async kill(): Promise<void> {
    const machine = this.#machine;
    if (machine === null) return;
    const kept = path.join(this.directory, 'kept');
    fs.cpSync(this.data, kept, { recursive: true });
    await this.stop();
    fs.rmSync(this.data, { recursive: true });
    fs.renameSync(kept, this.data);
  }

  /** What the records that the process server has make of a disk that began as zeros. */
  image(name = 'root', size = this.sizes[name] ?? 0): Buffer {
    const index = this.machine.disks.disks.findIndex((disk) => disk.name === name);
    const image = Buffer.alloc(size);
    for (const { kind, disk, offset, length, payload } of this.server.records) {
      if (disk !== index) continue;
      if (kind === RecordKind.write) payload.copy(image, offset, payload.length - length);
      else if (kind === RecordKind.zero) image.fill(0, offset, offset + length);
    }
    return image;
  }
  content(name = 'root'): Buffer {
    return fs.readFileSync(this.disk(name));
  }
}
