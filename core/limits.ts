// Every bound in the system by name, with the relations between them asserted.
import { GiB, KiB, MiB, TiB } from './units.ts';
import { assert } from './errors.ts';

export const limits = {
  diskBytes: 64 * TiB,
  diskSectorBytes: 512,
  disksPerMachine: 128,
  /** Data of one `write` record, and of one NBD request. */
  recordDataBytes: 32 * MiB,
  /** Extent of one `zero` record. */
  recordZeroBytes: 4 * GiB,
  /** Payload of `tag`, `sync-begin` and the like. */
  recordNoteBytes: 64 * KiB,
  /** One payload CRC covers this much. */
  checkBlockBytes: 64 * KiB,
  groupRecords: 1024,
  groupBytes: 48 * MiB,
  segmentBytes: 64 * MiB,
  segmentBytesLeast: 64 * KiB,
  segmentBytesMost: GiB,
  /** Received bytes that may be in memory before they are durable, all machines together. */
  unsyncedBytes: 96 * MiB,
  /** A background sync starts when this much is unsynced, or after `syncIntervalMs`. */
  syncBytes: 8 * MiB,
  syncIntervalMs: 200,
  /** Apply flushes the replica after this much, so that a waiting commit gets its turn. */
  applyFlushBytes: 32 * MiB,
  nbdOptionBytes: 64 * KiB,
  nbdOptionsPerConnection: 64,
  nbdNegotiationMs: 30_000,
  nbdConnections: 64,
  /** Replies waiting for one client; at the bound we stop reading its requests. */
  nbdReplyBytes: 64 * MiB,
  controlBodyBytes: MiB,
  nameCharacters: 63,
  tagNameCharacters: 120,
  unixPathBytes: 107,
} as const;

assert(limits.recordDataBytes < limits.groupBytes, 'a record fits in a group');
assert(limits.groupBytes < limits.segmentBytes, 'a group fits in a segment');
assert(limits.recordDataBytes * 2 < limits.unsyncedBytes, 'two of the largest requests fit in memory');
assert(limits.diskBytes * limits.disksPerMachine <= Number.MAX_SAFE_INTEGER, 'every byte of a machine has a safe address');
