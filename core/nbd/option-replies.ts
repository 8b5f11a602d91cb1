// Writes the server's half of the NBD option haggling: greeting, option replies, what an export can do.
import { limits } from '../limits.ts';
import { KiB } from '../units.ts';
import type { NbdExport } from './export.ts';
import {
  HandshakeFlag,
  Info,
  Magic,
  Option,
  OptionReply,
  optionReplyHeaderBytes,
  TransmissionFlag,
} from './protocol.ts';

/** Block sizes announced: any alignment works, whole pages are best, a request carries up to 32 MiB. */
export const blockSizes = { least: 1, preferred: 4 * KiB, most: limits.recordDataBytes } as const;

/** Magic, option magic, handshake flags. */
export function encodeGreeting(): Buffer {
  const bytes = Buffer.alloc(18);
  bytes.writeBigUInt64BE(Magic.server, 0);
  bytes.writeBigUInt64BE(Magic.option, 8);
  bytes.writeUInt16BE(HandshakeFlag.fixedNewstyle | HandshakeFlag.noZeroes, 16);
  return bytes;
}

export function encodeOptionReply(
  option: number,
  reply: OptionReply,
  data: Uint8Array = new Uint8Array(0),
): Buffer {
  const bytes = Buffer.alloc(optionReplyHeaderBytes + data.length);
  bytes.writeBigUInt64BE(Magic.optionReply, 0);
  bytes.writeUInt32BE(option, 8);
  bytes.writeUInt32BE(reply, 12);
  bytes.writeUInt32BE(data.length, 16);
  bytes.set(data, optionReplyHeaderBytes);
  return bytes;
}

const refusals: Partial<Record<OptionReply, string>> = {
  [OptionReply.unsupported]: 'this server does not know this option',
  [OptionReply.invalid]: 'the data of the option is not valid here',
  [OptionReply.tlsRequired]: 'this server speaks TLS only',
  [OptionReply.unknown]: 'there is no export of this name',
  [OptionReply.tooBig]: `option data is limited to ${limits.nbdOptionBytes} bytes`,
};

/** The last answer to an option: an acknowledgement, or a refusal with its reason in words. */
export function encodeOptionEnd(option: number, reply: OptionReply): Buffer {
  return encodeOptionReply(option, reply, Buffer.from(refusals[reply] ?? ''));
}

export function transmissionFlags(served: NbdExport, structured: boolean): number {
  const { hasFlags, readOnly, sendFlush, sendFua, sendTrim, sendWriteZeroes, sendDf, canMultiConn } =
    TransmissionFlag;
  return (
    hasFlags |
    sendFlush |
    sendFua |
    (served.readOnly ? readOnly : sendTrim | sendWriteZeroes) |
    (structured ? sendDf : 0) |
    (served.multiConnection ? canMultiConn : 0)
  );
}

/** The only answer that EXPORT_NAME has: size and flags, then 124 zeroes for clients that want them. */
export function encodeExportNameAnswer(served: NbdExport, structured: boolean, zeroes: boolean): Buffer {
  const bytes = Buffer.alloc(zeroes ? 134 : 10);
  bytes.writeBigUInt64BE(BigInt(served.size), 0);
  bytes.writeUInt16BE(transmissionFlags(served, structured), 8);
  return bytes;
}

/** One line of the answer to LIST. */
export function encodeServer(name: string, description: string): Buffer {
  const nameBytes = Buffer.from(name);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(nameBytes.length, 0);
  const data = Buffer.concat([length, nameBytes, Buffer.from(description)]);
  return encodeOptionReply(Option.list, OptionReply.server, data);
}

export function encodeMetaContext(option: number, id: number, context: string): Buffer {
  const idBytes = Buffer.alloc(4);
  idBytes.writeUInt32BE(id, 0);
  return encodeOptionReply(option, OptionReply.metaContext, Buffer.concat([idBytes, Buffer.from(context)]));
}

/** One NBD_REP_INFO; null for kinds of information we do not have. */
export function encodeInfo(
  option: number,
  info: number,
  served: NbdExport,
  structured: boolean,
): Buffer | null {
  const data = infoData(info, served, structured);
  return data === null ? null : encodeOptionReply(option, OptionReply.info, data);
}

function infoData(info: number, served: NbdExport, structured: boolean): Buffer | null {
  if (info === Info.name || info === Info.description) {
    const text = Buffer.from(info === Info.name ? served.name : served.description);
    const data = Buffer.alloc(2 + text.length);
    data.writeUInt16BE(info, 0);
    data.set(text, 2);
    return data;
  }
  if (info === Info.export) {
    const data = Buffer.alloc(12);
    data.writeUInt16BE(info, 0);
    data.writeBigUInt64BE(BigInt(served.size), 2);
    data.writeUInt16BE(transmissionFlags(served, structured), 10);
    return data;
  }
  if (info === Info.blockSize) {
    const data = Buffer.alloc(14);
    data.writeUInt16BE(info, 0);
    data.writeUInt32BE(blockSizes.least, 2);
    data.writeUInt32BE(blockSizes.preferred, 6);
    data.writeUInt32BE(blockSizes.most, 10);
    return data;
  }
  return null;
}
