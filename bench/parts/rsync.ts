// rsync as a peer: a daemon on loopback that takes a disk's image and finds what differs by itself.
import fs from 'node:fs';
import { join } from 'node:path';
import { measureUsage, type Measured } from './compare.ts';
import { freePort, portAnswers, runCommand, startServer, type Server } from './processes.ts';

export class Rsync {
  readonly #server: Server;
  readonly #command: readonly string[];
  readonly #copy: string;

  private constructor(server: Server, command: readonly string[], copy: string) {
    this.#server = server;
    this.#command = command;
    this.#copy = copy;
  }

  static async isThere(): Promise<boolean> {
    return runCommand(['rsync', '--version']).then(
      () => true,
      () => false,
    );
  }

  /** The copy is equal when it resolves. There is no TLS in rsync's own protocol: that is in its favour. */
  static async start(directory: string, image: string): Promise<Rsync> {
    const port = await freePort();
    const target = join(directory, 'rsync');
    const copy = join(target, 'disk');
    const config = join(directory, 'rsyncd.conf');
    const id = `uid = ${process.getuid?.() ?? 0}\ngid = ${process.getgid?.() ?? 0}\n`;
    fs.mkdirSync(target);
    fs.writeFileSync(config, `${id}use chroot = no\n[bench]\npath = ${target}\nread only = no\n`);
    await runCommand(['cp', '--sparse=always', image, copy]);
    const listen = ['--address=127.0.0.1', `--port=${port}`];
    const command = ['rsync', '--daemon', '--no-detach', `--config=${config}`, ...listen];
    const server = await startServer(command, () => portAnswers(port));
    const options = ['--inplace', '--copy-devices', '--ignore-times', '--no-whole-file', '--fsync'];
    return new Rsync(server, ['rsync', ...options, image, `rsync://127.0.0.1:${port}/bench/disk`], copy);
  }

  /** `bytes` is what counts as moved. */
  async run(bytes: number): Promise<Measured> {
    const { result, usage } = await measureUsage(this.#server.pid, () => runCommand(this.#command));
    return {
      value: bytes / 1e6 / result.seconds,
      bytes,
      cpuSeconds: usage.cpuSeconds + result.usage.cpuSeconds,
      peakBytes: Math.max(usage.peakBytes, result.usage.peakBytes),
    };
  }

  async stop(): Promise<void> {
    await this.#server.stop();
    fs.rmSync(this.#copy);
  }
}
