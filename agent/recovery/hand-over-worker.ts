// The thread that reads the state that a machine goes on from, for its hand-over.
import { parentPort, workerData } from 'node:worker_threads';
import { HomewardError, toHomewardError, type ErrorCode } from '../../core/errors.ts';
import { limits } from '../../core/limits.ts';
import type { ViewContent } from '../replica/view-content.ts';
import { ViewReader } from '../replica/view-reader.ts';

/** Of bytes [offset, offset + length): what they consist of, what lies outside the replica, or content. */
export interface StateAsked {
  kind: 'extents' | 'outside' | 'content';
  disk: number;
  offset: number;
  length: number;
}

export type StateReply =
  | { extents: { length: number; zero: boolean }[] }
  | { outside: [number, number][] }
  /** `damaged`: bytes [start, end) of the disk, which are zeros in `content`. */
  | { content: Uint8Array<ArrayBuffer>; damaged: [number, number][] }
  | { failed: { code: ErrorCode; message: string; hint: string } };

/** The least that damage is located in. */
const blockBytes = 4096;

if (parentPort !== null && workerData !== null) {
  const port = parentPort;
  const reader = new ViewReader(workerData as ViewContent);
  setInterval(() => reader.refresh(), limits.viewRefreshMs).unref();
  port.on('message', (asked: StateAsked) => {
    const reply = answer(reader, asked);
    port.postMessage(reply, 'content' in reply ? [reply.content.buffer] : []);
  });
}

function answer(reader: ViewReader, { kind, disk, offset, length }: StateAsked): StateReply {
  try {
    if (kind === 'content') return readTolerant(reader, disk, offset, length);
    if (kind === 'outside') return { outside: reader.outsideReplica(disk, offset, length) };
    const extents = reader.extents(disk, offset, length);
    return { extents: extents.map(({ length: bytes, zero }) => ({ length: bytes, zero })) };
  } catch (error) {
    const { code, message, hint } = toHomewardError(error);
    return { failed: { code, message, hint } };
  }
}

function readTolerant(reader: ViewReader, disk: number, offset: number, length: number): StateReply {
  const content = Buffer.from(new ArrayBuffer(length));
  const damaged: [number, number][] = [];
  if (!tryRead(reader, disk, offset, content)) {
    for (let at = 0; at < length; at += blockBytes) {
      const block = content.subarray(at, at + blockBytes);
      if (tryRead(reader, disk, offset + at, block)) continue;
      block.fill(0);
      damaged.push([offset + at, offset + at + block.length]);
    }
  }
  return { content, damaged };
}

function tryRead(reader: ViewReader, disk: number, offset: number, target: Buffer): boolean {
  try {
    reader.read(disk, offset, target);
    return true;
  } catch (error) {
    if (error instanceof HomewardError && error.code === 'damaged') return false;
    throw error;
  }
}
