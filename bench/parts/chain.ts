// A whole chain for a run: the programs as they are shipped, as processes, in directories of their own.
import { setTimeout as delay } from 'node:timers/promises';
import type { MachineStatus } from '../../agent/control/client.ts';
import type { DaemonProcess } from '../../test/support/daemon-process.ts';
import { ChainSite, type SiteOptions, type Source } from '../../test/support/chain-site.ts';
import { nbdUri } from './master-target.ts';
import { usageOf, type Usage } from './processes.ts';

export const disk = 'disk';
const pollMs = 50;
const untilMs = 300_000;

export class BenchChain {
  readonly site: ChainSite;
  readonly #ends: (() => unknown)[];

  private constructor(site: ChainSite, ends: (() => unknown)[]) {
    this.site = site;
    this.#ends = ends;
  }

  static async start(directory: string, options: SiteOptions = {}): Promise<BenchChain> {
    const ends: (() => unknown)[] = [];
    const owner = {
      teardown: (end: () => unknown) => void ends.push(end),
      passing: () => true,
      comment: () => undefined,
    };
    return new BenchChain(await ChainSite.start(owner, { ...options, directory }), ends);
  }

  /** What the master target says of a machine, without any other process being asked. */
  async status(machine: string): Promise<MachineStatus> {
    const { machines } = await this.site.target.status();
    const status = machines.find(({ name }) => name === machine);
    if (status === undefined) throw new Error(`${machine} is not in the status of the master target`);
    return status;
  }

  /** Asks the master target until its answer is the one waited for. */
  async until(
    what: string,
    machine: string,
    isIt: (status: MachineStatus) => boolean,
    mostMs = untilMs,
  ): Promise<MachineStatus> {
    const deadline = performance.now() + mostMs;
    for (;;) {
      const status = await this.status(machine);
      if (isIt(status)) return status;
      if (performance.now() > deadline)
        throw new Error(`waited for ${what} in vain: ${JSON.stringify(status)}`);
      await delay(pollMs);
    }
  }

  /** Processes are ended as users end them, so that profiles are written, too. */
  async stop(): Promise<void> {
    const { sources, masterTarget, processServer, configServer } = this.site;
    const daemons = [...[...sources.values()].map(({ process }) => process), masterTarget, processServer];
    for (const daemon of [...daemons, configServer]) if (daemon.running) await daemon.stop();
    for (const end of this.#ends.reverse()) await end();
  }
}

/** Where a source's disk is written. */
export const frontUri = (source: Source): string => nbdUri(source.socket, disk);

/** Resolves when a daemon has logged an event more often than `before`. */
export async function untilLogged(daemon: DaemonProcess, event: string, before: number): Promise<void> {
  const deadline = performance.now() + untilMs;
  while (daemon.logged(event) <= before) {
    if (performance.now() > deadline) throw new Error(`${daemon.what} has not logged ${event}`);
    await delay(2);
  }
}

/** Processor time of several daemons together, and the most memory that one of them had. */
export function usageOfAll(daemons: readonly DaemonProcess[]): Usage {
  const usages = daemons.map(({ pid }) => usageOf(pid));
  return {
    cpuSeconds: usages.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0),
    peakBytes: Math.max(...usages.map(({ peakBytes }) => peakBytes)),
  };
}
