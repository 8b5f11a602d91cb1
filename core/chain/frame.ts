// The frames of the chain: 16 bytes of header and a body (docs/chain.md, section 3).
import { crc32 } from 'node:zlib';
import { HomewardError } from '../errors.ts';
import { limits } from '../limits.ts';

export const FrameType = {
  hello: 1,
  welcome: 2,
  records: 3,
  ack: 4,
  head: 5,
  relay: 6,
  note: 7,
  error: 8,
} as const;
export type FrameType = (typeof FrameType)[keyof typeof FrameType];

export const frameHeaderBytes = 16;
export const ackBytes = 24;
const compressedFlag = 1;

export interface FrameHeader {
  type: FrameType;
  compressed: boolean;
  /** As sent. */
  bodyBytes: number;
  /** After decompression. */
  rawBytes: number;
}

export interface Frame extends FrameHeader {
  body: Buffer;
}

export function encodeFrameHeader(target: Buffer, header: FrameHeader): void {
  target[0] = header.type;
  target[1] = header.compressed ? compressedFlag : 0;
  target.writeUInt16LE(0, 2);
  target.writeUInt32LE(header.bodyBytes, 4);
  target.writeUInt32LE(header.rawBytes, 8);
  target.writeUInt32LE(crc32(target.subarray(0, 12)), 12);
}

/** The header at the beginning of 16 bytes; throws 'chain-broken' when it is none that may be. */
export function decodeFrameHeader(source: Buffer): FrameHeader {
  if (source.readUInt32LE(12) !== crc32(source.subarray(0, 12)))
    throw broken('a frame header does not fit its checksum');
  const type = source.readUInt8(0);
  const flags = source.readUInt8(1);
  const bodyBytes = source.readUInt32LE(4);
  const rawBytes = source.readUInt32LE(8);
  if (!isFrameType(type)) throw broken(`a frame has type ${type}`);
  if (flags > compressedFlag || source.readUInt16LE(2) !== 0) throw broken('a frame has unknown flags');
  const compressed = flags === compressedFlag;
  const most = mostBytes(type);
  if (bodyBytes > most || rawBytes > most) throw broken(`a frame of type ${type} has ${bodyBytes} bytes`);
  if (!compressed && rawBytes !== bodyBytes) throw broken('a frame has two lengths');
  if (type === FrameType.ack && rawBytes !== ackBytes) throw broken(`an ack has ${rawBytes} bytes`);
  return { type, compressed, bodyBytes, rawBytes };
}

/** The largest body of a frame. */
export const mostBytes = (type: FrameType): number =>
  type === FrameType.records ? limits.chainFrameBytes : limits.chainJsonBytes;

const isFrameType = (type: number): type is FrameType => type >= FrameType.hello && type <= FrameType.error;

export const broken = (message: string, cause?: unknown): HomewardError =>
  new HomewardError('chain-broken', message, cause === undefined ? {} : { cause });
