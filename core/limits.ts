// Every bound in the system by name, with the relations between them asserted.
import { assert } from './errors.ts';
import { historyLimits } from './history-limits.ts';
import { hostLimits } from './host-limits.ts';
import { GiB, KiB, MiB, TiB } from './units.ts';

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
  /** Records of one run: 4 MiB of bare headers. */
  runRecords: 65_536,
  groupBytes: 48 * MiB,
  /** A group is closed behind the request that takes it past this. */
  groupBytesUsual: 4 * MiB,
  segmentBytes: 64 * MiB,
  /** Received bytes that may be in memory before they are durable, all machines together. */
  unsyncedBytes: 96 * MiB,
  /** A background sync starts when this much is unsynced, or after `SyncIntervalMs`. */
  syncBytes: 8 * MiB,
  /** Apply flushes the replica after this much, so that a waiting commit gets its turn. */
  applyFlushBytes: 32 * MiB,
  /** One call of apply writes at most about this much. */
  applyWriteBytes: MiB,
  /** A recovery asks for extents of this much at a time, and moves data in pieces of that much. */
  exportStretchBytes: 256 * MiB,
  exportBufferBytes: 4 * MiB,
  /** It begins a sync only when it has written this much, and goes on meanwhile. */
  exportFlushBytes: 64 * MiB,
  /** What one thread of a recovery takes at a time, and how many threads there are at the most. */
  recoveryStretchBytes: 32 * MiB,
  recoveryThreads: 4,
  /** What is durable is noted this often, so that a recovery can go on there. */
  recoveryNoteMs: 1_000,
  /** Places with damaged content that are remembered for a machine. */
  damagedPlaces: 100,
  /** Open views of a daemon; each has a thread of its own. */
  views: 64,
  /** A region stays in the dirty map until it was left alone for so long: hot ones are never taken out. */
  dirtyIdleMs: 5_000,
  dirtySweepMs: 1_000,
  /** Regions that leave the dirty map behind one flush of the disk. */
  dirtySweepRegions: 64 * KiB,
  /** Replies of writes are held back for a tag at most this long. */
  replyHoldMs: 1_000,
  /** Tries to read a chunk that is being written before its writers have to wait. */
  stableReadTries: 3,
  /** A sync reads and sends pieces of at most this much. */
  syncPieceBytes: MiB,
  /**
   * Records of a sync that the process server does not have yet; the second while the workload writes. Alone
   * they do not make the outbox open its spill.
   */
  syncUnsentBytes: 12 * MiB,
  syncUnsentBusyBytes: 4 * MiB,
  /** And no more than goes out within this. */
  syncUnsentMs: 1_000,
  /** How often a waiting sync looks again, and how long a failed question for hashes rests. */
  syncWaitMs: 200,
  /** One piece of a sync goes out so often, however much the workload has to send. */
  syncLeastMs: 1_000,
  syncRetryMs: 1_000,
  /** Hashes asked for in one question. */
  syncCompareBytes: 16 * MiB,
  /** LSNs that a source reserves on disk at a time. */
  reservedLsns: 1_000_000,
  /** Records of a source are kept and spilled in batches of this, and read back in pieces of the second. */
  outboxBatchBytes: MiB,
  outboxReadBytes: 4 * MiB,
  /** What was spilled is synced after this, so that its memory is free again. */
  outboxSyncMs: 10,
  /** Between two attempts to reach the process server. */
  pushRetryLeastMs: 200,
  pushRetryMostMs: 5_000,
  /** A process server has to welcome a source within this. */
  welcomeMs: 15_000,
  headIntervalMs: 1_000,
  /** A master target answers a question for hashes within this. */
  hashesAnswerMs: 120_000,
  /** A sync that failed is begun again after this. */
  protectionRetryMs: 2_000,
  /** A custom script may run this long, then it is killed; what it says is cut at the second. */
  customScriptMs: 60_000,
  customScriptBytes: 64 * KiB,
  /** A command before or after a scan may run this long: it may have a snapshot made somewhere else. */
  scanCommandMs: 600_000,
  /** A scan that failed while it sent, and the least time between two. */
  scanRetryMs: 30_000,
  scanEveryLeastMs: 1_000,
  /** Whether a scan is due is looked at this often. */
  scanCheckMs: 250,
  /** A tag that asks for a scan waits so long for it. */
  scanTagMs: 600_000,
  /** When no more than this is unknown it is sent; else the master target is asked what it has. */
  scanAskBytes: 16 * MiB,
  /** A tag asked for waits so long for the process server, and then for the master target. */
  tagSpooledMs: 10_000,
  tagTargetMs: 10_000,
  /** How long a very first start waits for an enrolment that is not refused. */
  firstEnrolmentMs: 20_000,
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
  /** Body of one frame of the chain, as sent and decompressed. */
  chainFrameBytes: 48 * MiB,
  /** Records in one frame until the first have arrived on a connection; doubles with each acknowledgement. */
  chainFirstFrameBytes: 64 * KiB,
  /** Body of a frame that is JSON. */
  chainJsonBytes: MiB,
  /** A connection of the chain on which nothing arrives for this long is dead. */
  chainSilenceMs: 30_000,
  /** Bytes that wait to be sent before a sender of records is asked to wait. */
  chainUnsentBytes: 8 * MiB,
  /** How long the other side may take to hear that a connection ends. */
  chainCloseMs: 5_000,
  /** How long a process server may take to answer the upgrade. */
  chainUpgradeMs: 10_000,
  /** Frames up to this are compressed and decompressed at once, larger ones beside the event loop. */
  chainCompressAtOnceBytes: 256 * KiB,
  /** Redo in one step of the cursor, about. */
  stepBytes: 512 * MiB,
  /** A step is due when there is so much for it, or after a fifth of the lag, within these bounds. */
  stepDueBytes: 256 * MiB,
  stepWaitLeastMs: 5_000,
  stepWaitMostMs: 600_000,
  /** However little room there is, so much redo may wait to be applied before writers do. */
  applyBacklogLeastBytes: 256 * MiB,
  /** With less redo than this a step without undo does not wait: room is short. */
  stepPatientBytes: 1024 * MiB,
  controlBodyBytes: MiB,
  /** A name, path or WHEN in a request on the control socket. */
  controlTextBytes: 4096,
  controlConnections: 64,
  /** A request has to be received within this. */
  controlRequestMs: 10_000,
  /** How often servers look for requests that take longer than they may. */
  connectionsCheckMs: 2_000,
  /** A client gives up on a call that is not long work. */
  controlAnswerMs: 600_000,
  /** Long work reports no more often than this. */
  progressIntervalMs: 100,
  /** How long nbdfuse may take to show a disk, and to end. */
  mountEndMs: 15_000,
  /** A view that is mounted ends so long after the command that mounts it was heard of last. */
  mountLeaseMs: 60_000,
  /** Hosts that have proved the passphrase and wait for an operator. */
  pendingHosts: 1000,
  /** Enrolments under way at a configuration server; each ends by itself when nobody asks for it. */
  enrolmentSessions: 1024,
  enrolmentSessionMs: 120_000,
  /** Failed attempts to enrol of one address, and the time in which they count. */
  enrolmentAttempts: 20,
  /** The same for beginnings, which prove nothing and cost little. */
  enrolmentBegins: 120,
  enrolmentAttemptsMs: 60_000,
  /** Addresses whose attempts are counted at a time. */
  enrolmentAddresses: 4096,
  /** How far the clocks of a host and the configuration server may be apart. */
  clockSkewMs: 15 * 60_000,
  /** From here on it is shown as a warning. */
  clockSkewWarnedMs: 60_000,
  /** A host that is silent for this long needs a look, and after the second an operator. */
  hostSilentMs: 30_000,
  hostLostMs: 15 * 60_000,
  /** What `protect` takes as the dense window, and as the time between tags. */
  windowLeastMs: 1_000,
  windowMostMs: 52 * 7 * 24 * 3600_000,
  consistencyIntervalLeastMs: 1_000,
  /** Whether a tag's name is free is asked of the master target for so long; when it is away, it is taken. */
  tagNameAskedMs: 2_000,
  /** How long `all-in-one` waits for its own master target to enrol before it says that it is ready. */
  allInOneJoinMs: 15_000,
  /** How long `protect` waits for the first heartbeat of a mobility service that has enrolled. */
  machineAwaitedMs: 5_000,
  /** The time of last contact is stored no more often than this. */
  contactStoredMs: 60_000,
  /** How often a configuration server looks for what has changed. */
  watchMs: 5_000,
  /** So long the status of a machine says that its ledger went back; the event stays. */
  ledgerWarnedMs: 7 * 24 * 3600_000,
  /** Events that are kept, and those given in one answer. */
  eventsKept: 100_000,
  eventsAnswered: 1000,
  /** Connections to a configuration server; each host has two or three, one of them a long poll. */
  configConnections: 4096,
  /** The body of a request to a configuration server: of anybody, and a heartbeat of many machines. */
  strangerBodyBytes: 64 * KiB,
  serverBodyBytes: 16 * MiB,
  /** The longest that a host's question for work is held. */
  workWaitMs: 60_000,
  /** A mobility service has one machine; it makes a new id when it has lost its data but not who it is. */
  machinesPerSource: 16,
  /** Calls of operators that wait for their host or run, all hosts together. */
  hostCalls: 256,
  /** A host takes a call within this, or is not connected. */
  hostCallTakenMs: 10_000,
  /**
   * Problems of a spool that are remembered, and how often what it knows beside its records is written down.
   */
  spoolProblems: 20,
  spoolSaveMs: 1_000,
  /** How often a process server looks whether its spools need room. */
  spoolRoomMs: 500,
  /** What a master target is sent in one piece. */
  spoolReadBytes: MiB,
  /** What one source may send each second while room is short. */
  spoolSlowBytesPerSecond: 4 * MiB,
  /** Heads that wait for the records that they speak of; beyond, every other one goes. */
  spoolHeads: 512,
  /** Streams of a process server, and how long one may stay without a hello. */
  streams: 4096,
  streamHelloMs: 15_000,
  /** How long a stopping process server waits for what was sent to go out. */
  streamCloseMs: 2_000,
  /** A master target says how far it is at least this often. */
  chainAckMs: 1_000,
  /** Received bytes of one machine that are not durable yet; for all of them there is `unsyncedBytes`. */
  pullBytes: 32 * MiB,
  /**
   * Waits before a stream that broke is opened again; the last for what is refused or keeps coming damaged.
   */
  pullRetryLeastMs: 200,
  pullRetryMostMs: 5_000,
  pullRefusedMs: 30_000,
  /** So many times damaged at one place, and it is asked for less often. */
  pullDamagedTries: 5,
  /** A source that was not heard for so long counts as disconnected. */
  headSilentMs: 15_000,
  /** Bytes of a disk in one question for hashes, and questions of one machine that wait. */
  hashesAskedBytes: 64 * MiB,
  hashesWaiting: 64,
  /** Places of a replica that are known to be unknown; beyond, what lies between counts as well. */
  unknownExtents: 1000,
  /** A host that could not enrol tries again after this. */
  enrolRetryMs: 15_000,
  nameCharacters: 63,
  tagNameCharacters: 120,
  unixPathBytes: 107,
  passphraseCharacters: 24,
  passphraseFileBytes: 4 * KiB,
  /** A PEM text from outside. */
  pemBytes: 8 * KiB,
  /** Certificates begin this long before they are made, for clocks that are behind. */
  certificateBackdateDays: 1,
  certificateDays: 397,
  authorityDays: 20 * 365,
  /** A certificate is renewed when less than one part in so many of its life is left. */
  certificateRenewalPart: 3,
  /** A renewal that failed is tried again after this. */
  certificateRenewalRetryMs: 600_000,
  /** How often a configuration server looks whether its own certificate is due. */
  certificateCheckMs: 3_600_000,
  /** An assignment as text. */
  assignmentBytes: 64 * KiB,
  /** From the look-up of a name to the end of the TLS handshake. */
  connectMs: 15_000,
  /** One of several addresses of a name gets this long before the next is tried. */
  connectAttemptMs: 2_000,
  /** Probes on connections that say nothing begin after this. */
  keepAliveMs: 15_000,
  /** An answer of the configuration server, but for what it streams. */
  serverAnswerMs: 20_000,
  serverAnswerBytes: 16 * MiB,
  /** Connections of a host to the configuration server: heartbeat, work, and the answers to calls. */
  serverConnections: 20,
  /** Calls of operators that a host serves at a time. */
  callsPerHost: 16,
  /** Ids of calls that are remembered, so that one that comes twice is served once. */
  callsRemembered: 1000,
  /** How long a host asks to be held when there is no work. */
  workAskMs: 25_000,
  heartbeatMs: 2_000,
  /** The least time between two heartbeats, however often the host is woken. */
  heartbeatLeastMs: 200,
  /** Space for what is written to a view, when nobody says how much; of all its disks together. */
  scratchBytes: 16 * GiB,
  /** How long a read waits for a step that writes a part of the block it wants, and how often it looks. */
  stepPatienceMs: 30_000,
  stepLookMs: 20,
  /** A view that nobody reads takes the plans that were posted to it this often. */
  viewRefreshMs: 1_000,
  /** The longest a host stays silent between two attempts to reach the configuration server. */
  serverRetryMs: 15_000,
  /** A host that waits for approval asks this often. */
  approvalPollMs: 1_000,
  /** Extents of one page of a table file, which is read and checked as a whole. */
  tablePageExtents: 512,
  /** Pages of table files that a thread keeps, all tables together. */
  tablePagesBytes: 32 * MiB,
  /** A thread that had nothing to do for so long gives memory back. */
  threadRestMs: 1_000,
  /** A daemon that rests gives memory back when it has come to so much more. */
  grownBytes: 32 * MiB,
  /** The JSON of a table file: the segments that it is of, and what a restart wants to know of them. */
  tableMetaBytes: 16 * MiB,
  ...historyLimits,
  ...hostLimits,
  /** Connections on which a machine's records are asked for once more, at a time. */
  againSessions: 4,
  /** How long damaged redo waits for a process server that cannot be reached before it counts as lost. */
  healWaitMs: 30_000,
  /** Tries while the connection to it breaks. */
  healTries: 3,
  healRetryMs: 500,
  /** How often it is looked whether files of redo still have their names. */
  namesLookMs: 60_000,
  /** Of records of files that are gone, so much is asked for at a time: it becomes a file. */
  healBytes: 64 * MiB,
  /** A step does not ask again for what could not be had within this. */
  healAgainMs: 60_000,
  /** What is read at a time to make checksums of a replica that are not known; pages of sums looked at. */
  fillSumsBytes: 64 * MiB,
  fillSumsPages: 4096,
  /** How often it is looked whether there are such. */
  sumsLookMs: 60_000,
  /** What a line of the ledger says in words. */
  ledgerWhyCharacters: 200,
  /** Extents in one resync of extents, and in one command that is offered. */
  resyncExtents: 4096,
  resyncOffered: 16,
} as const;

assert(limits.recordDataBytes < limits.groupBytes, 'a record fits in a group');
assert(limits.recordDataBytes < limits.chainFrameBytes, 'a record fits in a frame of the chain');
assert(limits.groupBytes < limits.segmentBytes, 'a group fits in a segment');
assert(limits.recordDataBytes * 2 < limits.unsyncedBytes, 'two of the largest requests fit in memory');
assert(
  limits.nbdConnections * limits.nbdHomeBytes + 2 * (limits.recordDataBytes + limits.nbdBlockBytes) <
    limits.unsyncedBytes,
  'with all connections open, two of the largest NBD requests can be received',
);
assert(limits.callsPerHost + 3 <= limits.serverConnections, 'calls leave connections for heartbeat and work');
assert(limits.workAskMs <= limits.workWaitMs, 'a host is held as long as it asks to be');
// The end of the last disk is 2 ** 53, which a double still holds exactly.
assert(
  limits.diskBytes * limits.disksPerMachine - 1 <= Number.MAX_SAFE_INTEGER,
  'every byte of a machine has a safe address',
);
