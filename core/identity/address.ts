// Addresses of servers as people write them: `host:port`, an IPv6 address in brackets.
import { isIPv6 } from 'node:net';
import { HomewardError } from '../errors.ts';

export interface Address {
  host: string;
  port: number;
}

export function formatAddress(host: string, port: number): string {
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Throws 'usage'. */
export function parseAddress(text: string): Address {
  const match = /^(?:\[([^\]]*)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/.exec(text);
  const [, bracketed, name, digits] = match ?? [];
  const port = Number(digits);
  const host = bracketed ?? name;
  const sound = bracketed === undefined || isIPv6(bracketed);
  if (host === undefined || !sound || port < 1 || port > 65_535) {
    throw new HomewardError('usage', `${JSON.stringify(text.slice(0, 150))} is not HOST:PORT`, {
      hint: 'Give a name or address and a port, for example config.example:8443; IPv6 in brackets.',
    });
  }
  return { host, port };
}
