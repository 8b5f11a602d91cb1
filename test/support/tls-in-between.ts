// Somebody who sits between a host and a server: ends TLS with a certificate of its own, and passes on what
// is said.
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import tls, { type TLSSocket } from 'node:tls';
import type { Test } from 'tap';
import type { HostIdentity } from '../../core/identity/host-identity.ts';

export interface InBetween {
  port: number;
  /** Everything that went through it, both ways. */
  heard(): string;
}

/** Passes on to `port` what clients say, changed by `edit`. It shows the certificate of `identity`. */
export async function sitInBetween(
  t: Test,
  identity: HostIdentity,
  port: number,
  edit: (text: string) => string = (text) => text,
): Promise<InBetween> {
  let heard = '';
  const sockets = new Set<TLSSocket>();
  const server = tls.createServer({ key: identity.key, cert: identity.certificate }, (client) => {
    const behind = tls.connect({ host: '127.0.0.1', port, rejectUnauthorized: false });
    for (const [from, to] of [
      [client, behind],
      [behind, client],
    ] as const) {
      sockets.add(from);
      from.on('error', () => undefined);
      from.on('data', (piece: Buffer) => {
        const text = edit(piece.toString('latin1'));
        heard += text;
        to.write(text, 'latin1');
      });
      from.on('close', () => to.destroy());
    }
  });
  server.on('tlsClientError', () => undefined);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, heard: () => heard };
}
