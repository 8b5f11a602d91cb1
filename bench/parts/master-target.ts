// A master target for a run: the program as it is shipped, in directories of its own, with one machine.
import fs from 'node:fs';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connectControl, type ControlClient, type MachineStatus } from '../../agent/control/client.ts';
import { formatSize, GiB } from '../../core/units.ts';
import { startServer, type Server } from './processes.ts';

export const machine = 'bench';
export const disk = 'disk0';

const program = fileURLToPath(new URL('../../bin/homeward', import.meta.url));
const settleMs = 120_000;
const pollMs = 100;

export class BenchTarget {
  readonly server: Server;
  readonly control: ControlClient;
  readonly directory: string;
  readonly windowMaxBytes: number;
  readonly uri: string;

  private constructor(server: Server, directory: string, windowMaxBytes: number) {
    this.server = server;
    this.directory = directory;
    this.windowMaxBytes = windowMaxBytes;
    this.control = connectControl(join(directory, 'data', 'control.sock'));
    this.uri = nbdUri(join(directory, 'in.sock'), disk);
  }

  /** With one machine of one disk, open for writing. `windowMaxBytes` 0 keeps every write of the run. */
  static async start(
    directory: string,
    diskBytes: number,
    windowMaxBytes = 0,
    environment: Record<string, string> = {},
  ): Promise<BenchTarget> {
    fs.mkdirSync(directory);
    const config = join(directory, 'drscout.conf');
    fs.writeFileSync(config, `[homeward]\nWindowMaxBytes = ${windowMaxBytes}\n`);
    const command = [program, 'master-target', '--data', join(directory, 'data'), '--config', config];
    const server = await startServer(command, (output) => /\bready\b/.test(output), environment);
    const target = new BenchTarget(server, directory, windowMaxBytes);
    await target.control.openIngest({
      machine,
      disks: [{ name: disk, sizeBytes: diskBytes }],
      listen: `unix:${join(directory, 'in.sock')}`,
      seeding: false,
    });
    return target;
  }

  async status(): Promise<MachineStatus> {
    const { machines } = await this.control.status();
    const [status] = machines;
    if (status === undefined) throw new Error('the machine is not in the status');
    return status;
  }

  /** Bytes of redo that should have been applied by now. */
  overdue({ redoBytes }: MachineStatus): number {
    return this.windowMaxBytes === 0 ? 0 : Math.max(0, redoBytes - this.windowMaxBytes);
  }

  /** Waits until apply has nothing left to do, so that it does not work beside what is measured next. */
  async settle(): Promise<void> {
    const deadline = performance.now() + settleMs;
    for (;;) {
      const status = await this.status();
      if (this.overdue(status) === 0 && status.durableLsn === status.headLsn) return;
      if (performance.now() > deadline) throw new Error('apply does not catch up');
      await delay(pollMs);
    }
  }

  /** A view of the machine at `lsn`; returns where its disk is read. */
  async openView(lsn: number): Promise<string> {
    const path = join(this.directory, 'view.sock');
    await this.control.openView({
      machine,
      at: `lsn:${lsn}`,
      listen: `unix:${path}`,
      writable: false,
      leaseMs: null,
    });
    return nbdUri(path, disk);
  }

  /** The command line that recovers the machine at `lsn` to files in `directory`. */
  recoverCommand(lsn: number, format: 'raw' | 'qcow2' | 'vmdk', directory: string): string[] {
    const control = join(this.directory, 'data', 'control.sock');
    return [
      program,
      '--control',
      control,
      '--json',
      'recover',
      machine,
      '--at',
      `lsn:${lsn}`,
      '--to',
      `${format}:${directory}`,
    ];
  }

  async stop(): Promise<void> {
    await this.control.close();
    await this.server.stop();
    fs.rmSync(this.directory, { recursive: true });
  }
}

/** Where the cursor stood at three moments of a run. */
export interface Lag {
  begin: MachineStatus;
  half: MachineStatus;
  end: MachineStatus;
}

/** Runs `work` and looks at the cursor before, in the middle of it, and right behind it. */
export async function watchLag<T>(
  target: BenchTarget,
  work: () => Promise<T>,
): Promise<{ result: T; lag: Lag }> {
  const begin = await target.status();
  const seen: MachineStatus[] = [];
  const ended = new AbortController();
  const watching = watch();
  const result = await work();
  const end = await target.status();
  ended.abort();
  await watching;
  return { result, lag: { begin, half: halfOf(seen, begin, end), end } };

  async function watch(): Promise<void> {
    while (!ended.signal.aborted) {
      seen.push(await target.status());
      await delay(pollMs);
    }
  }
}

/** The status at which half of the records had come. */
function halfOf(seen: readonly MachineStatus[], begin: MachineStatus, end: MachineStatus): MachineStatus {
  const middle = (begin.headLsn + end.headLsn) / 2;
  return seen.find(({ headLsn }) => headLsn >= middle) ?? end;
}

/** In words, as the table carries it. */
export function describeLag(target: BenchTarget, { begin, half, end }: Lag): string {
  const one = (name: string, at: MachineStatus): string =>
    `${name} head ${at.headLsn} applied ${at.appliedLsn} redo ${(at.redoBytes / GiB).toFixed(2)} GiB`;
  const grew = target.overdue(end) - target.overdue(half);
  const verdict =
    grew > 0
      ? `the lag grew by ${formatSize(grew)} in the second half`
      : 'the lag did not grow in the second half';
  return `${one('begin', begin)}; ${one('half', half)}; ${one('end', end)}: ${verdict}`;
}

export const nbdUri = (socket: string, name = ''): string => `nbd+unix:///${name}?socket=${socket}`;
