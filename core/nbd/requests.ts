// NBD requests as they stand in the receive buffer, and the rules that decide whether one may reach the
// export.
import { limits } from '../limits.ts';
import { NbdErrno, type NbdExport } from './export.ts';
import { Command, CommandFlag, Magic, requestBytes } from './protocol.ts';

/** One request header; the same object is filled again for each. */
export interface RequestHeader {
  flags: number;
  command: number;
  /** The client's name for the request, given back in the reply: high and low half. */
  cookieHigh: number;
  cookieLow: number;
  /** Beyond 2 ** 53 it is not exact, and out of range in any case. */
  offset: number;
  length: number;
}

export const emptyHeader = (): RequestHeader => ({
  flags: 0,
  command: 0,
  cookieHigh: 0,
  cookieLow: 0,
  offset: 0,
  length: 0,
});

/** Fills `into` from the 28 bytes at `at`; false when they do not begin with the request magic. */
export function readHeader(bytes: Buffer, at: number, into: RequestHeader): boolean {
  if (bytes.readUInt32BE(at) !== Magic.request) return false;
  into.flags = bytes.readUInt16BE(at + 4);
  into.command = bytes.readUInt16BE(at + 6);
  into.cookieHigh = bytes.readUInt32BE(at + 8);
  into.cookieLow = bytes.readUInt32BE(at + 12);
  into.offset = bytes.readUInt32BE(at + 16) * 0x1_0000_0000 + bytes.readUInt32BE(at + 20);
  into.length = bytes.readUInt32BE(at + 24);
  return true;
}

/** A request header as a client writes it; for tests and tools. */
export function encodeRequest(header: RequestHeader): Buffer {
  const bytes = Buffer.alloc(requestBytes);
  bytes.writeUInt32BE(Magic.request, 0);
  bytes.writeUInt16BE(header.flags, 4);
  bytes.writeUInt16BE(header.command, 6);
  bytes.writeUInt32BE(header.cookieHigh, 8);
  bytes.writeUInt32BE(header.cookieLow, 12);
  bytes.writeBigUInt64BE(BigInt(header.offset), 16);
  bytes.writeUInt32BE(header.length, 24);
  return bytes;
}

const { fua, noHole, df, reqOne } = CommandFlag;

/** What was agreed on for a connection. */
export interface Agreed {
  structured: boolean;
  allocation: boolean;
}

/** `ok`, or the error that the specification names for what is wrong with the request. */
export function checkRequest(header: RequestHeader, served: NbdExport, agreed: Agreed): NbdErrno {
  const flags = allowedFlags(header.command, agreed);
  if (flags === null || (header.flags & ~flags) !== 0) return NbdErrno.EINVAL;
  if (header.command === Command.flush) return NbdErrno.ok;
  const changes = header.command !== Command.read && header.command !== Command.blockStatus;
  if (changes && served.readOnly) return NbdErrno.EPERM;
  if (header.length === 0) return NbdErrno.EINVAL;
  const carriesData = header.command === Command.read || header.command === Command.write;
  if (carriesData && header.length > limits.recordDataBytes) return NbdErrno.EINVAL;
  if (header.offset + header.length <= served.size) return NbdErrno.ok;
  const fills = header.command === Command.write || header.command === Command.writeZeroes;
  return fills ? NbdErrno.ENOSPC : NbdErrno.EINVAL;
}

/**
 * Flags that a command may carry; null for commands we do not know. FUA is harmless on all, so it is allowed
 * on all.
 */
function allowedFlags(command: number, agreed: Agreed): number | null {
  switch (command) {
    case Command.read:
      return agreed.structured ? fua | df : fua;
    case Command.writeZeroes:
      return fua | noHole;
    case Command.blockStatus:
      return agreed.allocation ? fua | reqOne : null;
    case Command.write:
    case Command.flush:
    case Command.trim:
      return fua;
    default:
      return null;
  }
}
