// Where others reach this host: what an operator says, else what it listens on, else all of its addresses.
import os from 'node:os';
import { formatAddress, type Address } from '../core/identity/address.ts';

type Interfaces = ReturnType<typeof os.networkInterfaces>;

const wildcards = new Set(['0.0.0.0', '::', '']);

/** `host:port` each, best first; `port` is the one listened on, for what is advertised without one. */
export function advertisedAddresses(
  advertise: readonly string[],
  { host, port }: Address,
  interfaces: Interfaces = os.networkInterfaces(),
): string[] {
  if (advertise.length > 0)
    return advertise.map((text) => (hasPort(text) ? text : formatAddress(text, port)));
  if (!wildcards.has(host)) return [formatAddress(host, port)];
  const all = Object.values(interfaces).flatMap((each) => each ?? []);
  const reachable = all.filter(
    ({ internal, family, scopeid }) => !internal && (family === 'IPv4' || scopeid === 0),
  );
  const hosts = reachable
    .filter(({ family }) => family === 'IPv4' || host === '::')
    .map(({ address }) => address);
  return [...hosts, '127.0.0.1'].map((address) => formatAddress(address, port));
}

const hasPort = (text: string): boolean => /^(?:\[[^\]]*\]|[^:]+):\d{1,5}$/.test(text);
