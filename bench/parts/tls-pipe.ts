// A bare TLS sender and a sink that discards, as two processes: what the chain's streams are held against.
//   node tls-pipe.ts sink DIR · node tls-pipe.ts send DIR PORT BYTES; DIR has the certificates.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import tls from 'node:tls';
import { MiB } from '../../core/units.ts';

const [what, directory = '', port = '', bytes = ''] = process.argv.slice(2);
const read = (name: string): Buffer => fs.readFileSync(join(directory, name));
const ours = {
  key: read('server-key.pem'),
  cert: read('server-cert.pem'),
  ca: read('ca-cert.pem'),
  minVersion: 'TLSv1.3',
} as const;

if (what === 'sink') await sink();
else await send(Number(port), Number(bytes));

/** Says its port, then takes one connection after the other; each hears how much came of it. */
async function sink(): Promise<void> {
  const server = tls.createServer({ ...ours, requestCert: true, allowHalfOpen: true }, (socket) => {
    let received = 0;
    socket.on('data', (chunk: Buffer) => (received += chunk.length));
    socket.on('end', () => socket.end(String(received)));
    socket.on('error', (error) => process.stderr.write(`${error.message}\n`));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  process.stdout.write(`port ${(server.address() as AddressInfo).port}\n`);
}

/** Says how many seconds it took from the end of the handshake until the sink had everything. */
async function send(to: number, total: number): Promise<void> {
  const socket = tls.connect({ ...ours, host: '127.0.0.1', port: to, checkServerIdentity: () => undefined });
  await once(socket, 'secureConnect');
  let answer = '';
  socket.on('data', (chunk: Buffer) => (answer += chunk.toString()));
  const piece = randomBytes(MiB);
  const from = performance.now();
  for (let left = total; left > 0; left -= piece.length) {
    if (!socket.write(left < piece.length ? piece.subarray(0, left) : piece)) await once(socket, 'drain');
  }
  socket.end();
  await once(socket, 'end');
  if (Number(answer) !== total) throw new Error(`the sink got ${answer} of ${total} bytes`);
  process.stdout.write(`seconds ${(performance.now() - from) / 1000}\n`);
}
