// Opens a stream to a process server: TLS with our certificate, the upgrade, and what went wrong in its own
// code.
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { Client } from 'undici';
import { HomewardError } from '../errors.ts';
import { formatAddress, parseAddress } from '../identity/address.ts';
import { explainConnect } from '../identity/explain-connect.ts';
import { HostRole, type HostIdentity } from '../identity/host-identity.ts';
import { errorFrom } from '../identity/http-client.ts';
import { connectTls } from '../identity/tls.ts';
import { limits } from '../limits.ts';

export const chainProtocol = 'homeward-chain/1';
export const chainPath = '/api/v1/stream';

export interface OpenChainOptions {
  identity: HostIdentity;
  /** Tried in this order, `host:port` each. */
  addresses: readonly string[];
  /** The process server that has to answer. */
  hostId: string;
  signal: AbortSignal;
}

/**
 * A socket behind the upgrade. Throws the error of the last address tried: 'name-not-resolved',
 * 'connection-refused', 'timed-out', 'not-tls', 'certificate-not-vouched', 'server-failed', 'interrupted', or
 * what the process server refused it with.
 */
export async function openChain(options: OpenChainOptions): Promise<{ socket: Duplex; first: Buffer }> {
  let last = new HomewardError('connection-refused', 'no address of the process server is known');
  for (const address of options.addresses) {
    if (options.signal.aborted) throw interrupted(address);
    try {
      // What arrived behind the upgrade is in the socket again.
      return { socket: await upgradeAt(address, options), first: Buffer.alloc(0) };
    } catch (error) {
      if (options.signal.aborted) throw interrupted(address);
      last = explainConnect(error, address);
    }
  }
  throw last;
}

/** Throws what happened as it came. */
async function upgradeAt(address: string, { identity, hostId, signal }: OpenChainOptions): Promise<Duplex> {
  const { host, port } = parseAddress(address);
  const expect = { role: HostRole.processServer, hostId };
  let secured: TLSSocket | null = null;
  const client = new Client(`https://${formatAddress(host, port)}`, {
    connect: (_target, callback) => {
      connectTls({ host, port, identity, expect, signal }).then(
        (socket) => callback(null, (secured = socket)),
        (error: unknown) => callback(explainConnect(error, address), null),
      );
    },
    headersTimeout: limits.chainUpgradeMs,
    bodyTimeout: limits.chainUpgradeMs,
  });
  try {
    const socket = await upgrade(client, address, signal);
    void client.destroy(); // the socket is not the client's any more
    return socket;
  } catch (error) {
    void client.destroy();
    destroy(secured);
    throw error;
  }
}

function destroy(socket: TLSSocket | null): void {
  socket?.destroy();
}

/**
 * The socket behind the `101`, or why it was refused, in the words of the server. Why not `client.upgrade`:
 * it throws away what a refusal says.
 */
function upgrade(client: Client, address: string, signal: AbortSignal): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const said: Buffer[] = [];
    let saidBytes = 0;
    const onAbort = (): void => {
      reject(interrupted(address));
      void client.destroy();
    };
    const settled = (): void => signal.removeEventListener('abort', onAbort);
    signal.addEventListener('abort', onAbort, { once: true });
    client.dispatch(
      { path: chainPath, method: 'GET', upgrade: chainProtocol },
      {
        onRequestStart: () => undefined,
        onRequestUpgrade(_controller, _status, _headers, socket) {
          settled();
          resolve(socket);
        },
        onResponseData(controller, chunk) {
          saidBytes += chunk.length;
          if (saidBytes > limits.chainJsonBytes) controller.abort(noChain(address));
          else said.push(chunk);
        },
        onResponseEnd() {
          settled();
          reject(refusalIn(Buffer.concat(said).toString(), address));
        },
        onResponseError(_controller, error) {
          settled();
          reject(error);
        },
      },
    );
  });
}

function refusalIn(text: string, address: string): HomewardError {
  try {
    const { code, message, hint } = errorFrom(JSON.parse(text), address);
    if (code !== 'usage' && code !== 'server-failed')
      return new HomewardError(code, `${address}: ${message}`, { hint });
  } catch {
    // no JSON, so nothing of ours
  }
  return noChain(address);
}

const noChain = (address: string): HomewardError =>
  new HomewardError('server-failed', `${address} does not offer ${chainProtocol}`);

const interrupted = (address: string): HomewardError =>
  new HomewardError('interrupted', `connecting to ${address} was interrupted`);
