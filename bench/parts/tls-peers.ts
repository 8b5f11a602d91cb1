// What the chain is held against between two hosts: a bare TLS sink, and nbdcopy to nbdkit over TLS.
import fs from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { measureUsage, type Measured } from './compare.ts';
import { freePort, portAnswers, runCommand, startServer, type Server } from './processes.ts';

const pipe = fileURLToPath(new URL('tls-pipe.ts', import.meta.url));

/** An authority, and a certificate for both sides, under the names that nbdkit and libnbd look for. */
export async function certificates(directory: string): Promise<string> {
  const at = (name: string): string => join(directory, name);
  fs.mkdirSync(directory);
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const make = (name: string, subject: string, ...more: string[]): Promise<unknown> =>
    runCommand([
      ...['openssl', 'req', '-x509', ...key, '-days', '2', '-subj', `/CN=${subject}`, ...more],
      ...['-keyout', at(`${name}-key.pem`), '-out', at(`${name}-cert.pem`)],
    ]);
  await make('ca', 'bench authority', '-addext', 'keyUsage=critical,keyCertSign');
  const signed = ['-CA', at('ca-cert.pem'), '-CAkey', at('ca-key.pem')];
  const leaf = ['-addext', 'basicConstraints=critical,CA:FALSE', '-addext', 'keyUsage=digitalSignature'];
  await make('server', 'localhost', ...signed, ...leaf, '-addext', 'subjectAltName=DNS:localhost');
  for (const part of ['key', 'cert']) fs.copyFileSync(at(`server-${part}.pem`), at(`client-${part}.pem`));
  return directory;
}

/** Takes what it is sent and throws it away. */
export class TlsSink {
  readonly #server: Server;
  readonly #port: number;
  readonly #directory: string;

  private constructor(server: Server, port: number, directory: string) {
    this.#server = server;
    this.#port = port;
    this.#directory = directory;
  }

  /** `directory` has certificates. */
  static async start(directory: string): Promise<TlsSink> {
    let port = 0;
    const server = await startServer([process.execPath, pipe, 'sink', directory], (output) => {
      port = Number(/^port (\d+)$/m.exec(output)?.[1] ?? 0);
      return port > 0;
    });
    return new TlsSink(server, port, directory);
  }

  /** One process sends the bytes to the other. */
  async take(bytes: number): Promise<Measured> {
    const { result, usage } = await measureUsage(this.#server.pid, () =>
      runCommand([process.execPath, pipe, 'send', this.#directory, String(this.#port), String(bytes)]),
    );
    const seconds = Number(/^seconds (\S+)$/m.exec(result.output)?.[1]);
    return {
      value: bytes / 1e6 / seconds,
      bytes,
      cpuSeconds: usage.cpuSeconds + result.usage.cpuSeconds,
      peakBytes: Math.max(usage.peakBytes, result.usage.peakBytes),
    };
  }

  stop(): Promise<void> {
    return this.#server.stop();
  }
}

/** `nbdkit file` that is reached over TLS only. */
export class NbdkitTls {
  readonly #server: Server;
  readonly #uri: string;

  private constructor(server: Server, uri: string) {
    this.#server = server;
    this.#uri = uri;
  }

  static async start(certificateDirectory: string, file: string): Promise<NbdkitTls> {
    const port = await freePort();
    const secure = ['--tls=require', `--tls-certificates=${certificateDirectory}`, '--tls-verify-peer'];
    const listen = ['--ipaddr', '127.0.0.1', '--port', String(port)];
    const command = ['nbdkit', '--foreground', ...secure, ...listen, 'file', file];
    const server = await startServer(command, () => portAnswers(port));
    const uri = `nbds://localhost:${port}/?tls-certificates=${certificateDirectory}`;
    return new NbdkitTls(server, uri);
  }

  /** Copies a file there, and has it made durable. `bytes` is what counts as moved. */
  async copy(from: string, bytes: number): Promise<Measured> {
    const { result, usage } = await measureUsage(this.#server.pid, () =>
      runCommand(['nbdcopy', '--flush', from, this.#uri]),
    );
    return {
      value: bytes / 1e6 / result.seconds,
      bytes,
      cpuSeconds: usage.cpuSeconds + result.usage.cpuSeconds,
      peakBytes: Math.max(usage.peakBytes, result.usage.peakBytes),
    };
  }

  stop(): Promise<void> {
    return this.#server.stop();
  }
}
