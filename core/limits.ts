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
  /** A group is closed behind the request that takes it past this. */
  groupBytesUsual: 4 * MiB,
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
  /** One call of apply writes at most about this much. */
  applyWriteBytes: MiB,
  /** A recovery asks for extents of this much at a time, and moves data in pieces of that much. */
  exportStretchBytes: 256 * MiB,
  exportBufferBytes: 4 * MiB,
  /** It begins a sync each time it has written this much, and goes on meanwhile. */
  exportFlushBytes: 64 * MiB,
  /** Places with damaged content that are remembered for a machine. */
  damagedPlaces: 100,
  /** Open views of a daemon; each has a thread of its own. */
  views: 64,
  nbdOptionBytes: 64 * KiB,
  /** `qemu-nbd --list` asks two questions for each export on one connection. */
  nbdOptionsPerConnection: 1024,
  nbdNegotiationMs: 30_000,
  nbdConnections: 64,
  /** Replies waiting for one client; at the bound we stop reading its requests. */
  nbdReplyBytes: 64 * MiB,
  /** Requests of one client that have no answer yet; at the bound we stop reading its requests. */
  nbdRequests: 1024,
  /**
   * A client that stops in the middle of a request keeps the buffer for so long while others wait for one.
   */
  nbdStallMs: 30_000,
  /** The more wait, the shorter: that time divided by their number, but no less than this. */
  nbdStallLeastMs: 2_000,
  /** How long a closing server lets requests end. */
  nbdCloseMs: 5_000,
  /**
   * Each connection's own receive buffer, and the most that one read takes while request sizes are unknown.
   */
  nbdHomeBytes: 256 * KiB,
  /** Shared receive buffers: four requests of 1 MiB with their headers. */
  nbdBlockBytes: 4 * MiB + 64 * KiB,
  controlBodyBytes: MiB,
  /** A name, path or WHEN in a request on the control socket. */
  controlTextBytes: 4096,
  controlConnections: 64,
  /** A request has to be received within this. */
  controlRequestMs: 10_000,
  /** A client gives up on a call that is not long work. */
  controlAnswerMs: 600_000,
  /** Long work reports no more often than this. */
  progressIntervalMs: 100,
  nameCharacters: 63,
  tagNameCharacters: 120,
  unixPathBytes: 107,
} as const;

assert(limits.recordDataBytes < limits.groupBytes, 'a record fits in a group');
assert(limits.groupBytes < limits.segmentBytes, 'a group fits in a segment');
assert(limits.recordDataBytes * 2 < limits.unsyncedBytes, 'two of the largest requests fit in memory');
assert(
  limits.nbdConnections * limits.nbdHomeBytes + 2 * (limits.recordDataBytes + limits.nbdBlockBytes) <
    limits.unsyncedBytes,
  'with all connections open, two of the largest NBD requests can be received',
);
// The end of the last disk is 2 ** 53, which a double still holds exactly.
assert(
  limits.diskBytes * limits.disksPerMachine - 1 <= Number.MAX_SAFE_INTEGER,
  'every byte of a machine has a safe address',
);
