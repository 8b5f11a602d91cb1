// The address of a configuration server as people type it.
import { isIP, isIPv6 } from 'node:net';

export type ServerRead = { host: string; port: number } | { problem: string };

/**
 * Also takes what is copied from elsewhere: `https://name:8443/`, `name:8443`, an IPv6 address in brackets.
 * A port in the address counts before the other.
 */
export function readServer(address: string, port: string): ServerRead {
  const bare = address
    .trim()
    .replace(/^https?:\/\//i, '')
    .replace(/\/.*$/, '');
  const bracketed = /^\[([^\]]+)\](?::(\d+))?$/.exec(bare);
  const named = isIPv6(bare) ? null : /^([^:]+):(\d+)$/.exec(bare);
  const host = bracketed?.[1] ?? named?.[1] ?? bare;
  const digits = bracketed?.[2] ?? named?.[2] ?? port.trim();
  if (host === '') return { problem: 'Enter the name or the address of the configuration server.' };
  if (!isHost(host)) return { problem: `${JSON.stringify(host)} is neither a name nor an IP address.` };
  const number = /^\d{1,5}$/.test(digits) ? Number(digits) : 0;
  if (number < 1 || number > 65_535) {
    return {
      problem: `${JSON.stringify(digits)} is no port: a port is a number from 1 to 65535, usually 443.`,
    };
  }
  return { host, port: number };
}

/** RFC 1123 names, underscores let pass as resolvers do. Four numbers that are no address are no name. */
export function isHost(text: string): boolean {
  if (isIP(text) !== 0) return true;
  if (text.length > 253 || /^[\d.]+$/.test(text)) return false;
  return text.split('.').every((label) => /^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$/.test(label));
}
