// A configuration server outside of the virtual machine, which reaches it at 10.0.2.2.
import fs from 'node:fs';
import path from 'node:path';
import type { Test } from 'tap';
import { connectConfigServer, type OperatorAccess } from '../../config-server/client.ts';
import { DaemonProcess } from '../support/daemon-process.ts';
import { homeward, until } from '../support/homeward.ts';

export class ServerBeside {
  readonly port: number;
  readonly passphrase: string;
  readonly #server: ReturnType<typeof connectConfigServer>;

  private constructor(port: number, passphrase: string, access: OperatorAccess) {
    this.port = port;
    this.passphrase = passphrase;
    this.#server = connectConfigServer(access);
  }

  static async start(t: Test, directory: string): Promise<ServerBeside> {
    const data = path.join(directory, 'config-server');
    const args = ['config-server', '--data', data, '--listen', '127.0.0.1:0'];
    const daemon = new DaemonProcess({ what: 'the configuration server', args, env: { HOME: directory } });
    t.teardown(() => daemon.kill());
    await daemon.start();
    const port = Number(/127\.0\.0\.1:(\d+)/.exec(daemon.ready)?.[1]);
    const operator = path.join(data, 'operator.json');
    const { out } = await homeward(['passphrase', 'show', '--operator', operator]);
    const access = JSON.parse(fs.readFileSync(operator, 'utf8')) as OperatorAccess;
    const server = new ServerBeside(port, out.trim(), access);
    t.teardown(() => server.#server.close());
    return server;
  }

  /** Says yes to the next host that asks. */
  async approve(): Promise<void> {
    await until(
      'a host to ask',
      async () => {
        const waiting = (await this.#server.hosts()).find(({ state }) => state === 'waiting');
        if (waiting === undefined) return false;
        await this.#server.approveHost(waiting.id);
        return true;
      },
      300_000,
    );
  }

  /** Resolves when such a host has reported. */
  async untilHeard(name: string, role: string): Promise<void> {
    await until(
      `${role} ${name} to report`,
      async () =>
        (await this.#server.hosts()).some(
          (host) => host.name === name && host.role === role && host.silentSeconds !== null,
        ),
      180_000,
    );
  }
}
