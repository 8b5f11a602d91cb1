// One address in front of a process server, and a network of its own for each of those who connect to it: who
// that is, the kernel says.
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import type { Owner } from './chain-site.ts';
import { NetworkProxy } from './network-proxy.ts';

export class ForkedProxy {
  /** `127.0.0.1:PORT`, to be advertised. */
  readonly address: string;
  /** Between the source and the process server. */
  readonly source: NetworkProxy;
  /** Between the process server and the master target. */
  readonly target: NetworkProxy;
  /** Process id of the master target; everybody else is a source. */
  targetPid: () => number = () => 0;

  private constructor(server: net.Server, source: NetworkProxy, target: NetworkProxy) {
    const { port } = server.address() as net.AddressInfo;
    this.address = `127.0.0.1:${port}`;
    this.source = source;
    this.target = target;
    server.on('connection', (socket) => {
      socket.on('error', () => socket.destroy());
      const isTarget = ownsConnection(this.targetPid(), socket.remotePort ?? 0, port);
      (isTarget ? target : source).take(socket);
    });
  }

  static async start(owner: Owner): Promise<ForkedProxy> {
    const server = net.createServer({ pauseOnConnect: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    owner.teardown(() => void server.close());
    return new ForkedProxy(server, await NetworkProxy.start(owner), await NetworkProxy.start(owner));
  }

  set to(address: string) {
    this.source.to = address;
    this.target.to = address;
  }
}

/** Whether a process has the end at `from` of a connection on loopback to `to`. */
function ownsConnection(pid: number, from: number, to: number): boolean {
  const hex = (port: number): string => `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const fields = fs
    .readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .find(([, local, remote]) => local?.endsWith(hex(from)) === true && remote?.endsWith(hex(to)) === true);
  const inode = fields?.[9];
  if (inode === undefined || pid === 0) return false;
  const directory = `/proc/${pid}/fd`;
  return fs.readdirSync(directory).some((fd) => readLink(`${directory}/${fd}`) === `socket:[${inode}]`);
}

function readLink(file: string): string | null {
  try {
    return fs.readlinkSync(file);
  } catch {
    return null; // closed meanwhile
  }
}
