// Syncs over simulated captured disks, with a process server that acknowledges when it is told to.
import { createHash } from 'node:crypto';
import { hashBytes, hashedChunkBytes } from '../../../../core/chain/messages.ts';
import { silentLog, type Log } from '../../../../core/log.ts';
import type { AskHashes } from '../../../../mobility/sync/sync-compare.ts';
import { Syncs, type SyncPlaces } from '../../../../mobility/sync/sync.ts';
import type { Front } from '../capture/front-fixture.ts';

export const freePlaces: SyncPlaces = { request: async () => undefined, done: () => undefined };

export const noHashes: AskHashes = async () => {
  throw new Error('nobody asks for hashes');
};

export function syncsOver(
  { front, recorder, clock }: Front,
  options: { places?: SyncPlaces; hashes?: AskHashes; log?: Log } = {},
): Syncs {
  const { places = freePlaces, hashes = noHashes, log = silentLog } = options;
  return new Syncs({ captured: front, recorder, places, hashes, clock, log });
}

/** As a master target makes them of the content that it has. */
export function hashesOf(content: Buffer, start: number, end: number): Buffer {
  const hashes: Buffer[] = [];
  for (let at = start; at < end; at += hashedChunkBytes) {
    const chunk = content.subarray(at, Math.min(at + hashedChunkBytes, end));
    hashes.push(createHash('sha256').update(chunk).digest().subarray(0, hashBytes));
  }
  return Buffer.concat(hashes);
}

/** Acknowledges every record at once. */
export function acknowledgeAll({ recorder }: Front): void {
  recorder.onRecord = () => setImmediate(() => recorder.acknowledge());
}
