// The names, sizes and addresses that come from outside, checked before anything is done with them.
import { isIPv6 } from 'node:net';
import path from 'node:path';
import { HomewardError } from './errors.ts';
import { limits } from './limits.ts';
import { byteCount, formatSize, type ByteCount } from './units.ts';

const namePattern = new RegExp(`^[A-Za-z0-9][A-Za-z0-9._-]{0,${limits.nameCharacters - 1}}$`);

/** The name of a machine; it becomes part of paths. Throws 'bad-name'. */
export const checkMachineName = (name: string): string => checkName('machine', name);

/** The name of a disk; it becomes part of paths and an export name. Throws 'bad-name'. */
export const checkDiskName = (name: string): string => checkName('disk', name);

function checkName(what: string, name: string): string {
  if (!namePattern.test(name)) throw new HomewardError('bad-name', `${quoted(name)} is not a ${what} name`);
  return name;
}

/** Throws 'bad-tag-name'. */
export function checkTagName(name: string): string {
  // Other, line separator and paragraph separator: what a terminal or a log would not show as it is.
  const unprintable = /[\p{C}\p{Zl}\p{Zp}/]/u;
  const characters = Array.from(name).length;
  const tooLong = characters > limits.tagNameCharacters;
  if (characters === 0 || tooLong || unprintable.test(name) || name !== name.trim()) {
    throw new HomewardError('bad-tag-name', `${quoted(name)} is not a tag name`);
  }
  return name;
}

/** Throws 'bad-disk-size'. */
export function checkDiskSize(bytes: number): ByteCount {
  if (!Number.isSafeInteger(bytes) || bytes <= 0 || bytes % limits.diskSectorBytes !== 0) {
    const message = `${bytes} bytes is not a multiple of ${limits.diskSectorBytes} above 0`;
    throw new HomewardError('bad-disk-size', message);
  }
  if (bytes > limits.diskBytes) {
    const message = `${formatSize(bytes)} is more than ${formatSize(limits.diskBytes)}`;
    throw new HomewardError('bad-disk-size', message);
  }
  return byteCount(bytes);
}

export type Listen = { kind: 'unix'; path: string } | { kind: 'tcp'; host: string; port: number };

/** Reads `unix:PATH` or `tcp:HOST:PORT`, where an IPv6 address stands in brackets. Throws 'bad-listen'. */
export function parseListen(text: string): Listen {
  if (text.startsWith('unix:')) return { kind: 'unix', path: readSocketPath(text) };
  if (text.startsWith('tcp:')) return parseTcp(text);
  throw refused(text, 'it begins with neither unix: nor tcp:');
}

/** The spelling that `parseListen` reads. */
export function formatListen(listen: Listen): string {
  if (listen.kind === 'unix') return `unix:${listen.path}`;
  return `tcp:${isIPv6(listen.host) ? `[${listen.host}]` : listen.host}:${listen.port}`;
}

function readSocketPath(text: string): string {
  const socket = text.slice('unix:'.length);
  if (!path.isAbsolute(socket) || socket.endsWith('/')) throw refused(text, 'its path is not absolute');
  if (socket.includes('\0')) throw refused(text, 'it holds a zero byte');
  const bytes = Buffer.byteLength(socket);
  if (bytes > limits.unixPathBytes) {
    throw refused(text, `its path has ${bytes} bytes; the system takes ${limits.unixPathBytes}`);
  }
  return socket;
}

function parseTcp(text: string): Listen {
  const match = /^tcp:(?:\[([^\]]*)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(text);
  if (!match) throw refused(text, 'it is not tcp:HOST:PORT');
  const [, address, name, digits] = match;
  if (address !== undefined && !isIPv6(address)) throw refused(text, 'that is not an IPv6 address');
  const port = Number(digits);
  if (port < 1 || port > 65535) throw refused(text, 'a port is a number from 1 to 65535');
  return { kind: 'tcp', host: address ?? name ?? '', port };
}

function refused(text: string, why: string): HomewardError {
  return new HomewardError('bad-listen', `${quoted(text)} is not an address to listen on: ${why}`);
}

/** Quoted and cut, as it may be anything of any length. */
function quoted(text: string): string {
  return JSON.stringify(text.length > 150 ? text.slice(0, 150) + '…' : text);
}
