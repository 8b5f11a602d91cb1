// The status of one machine as users meet it, whoever puts it together: master target or configuration
// server.
import type { ScanReport, SourceState, SyncProgress } from '../chain/messages.ts';

export type MachineState =
  | 'ok'
  | 'seeding'
  | 'idle'
  | 'no-space'
  | 'failed'
  | 'damaged'
  /** Its replicas were given away, and its history has ended. */
  | 'released'
  /** Of machines that come over the chain. */
  | 'waiting'
  | 'initial-sync'
  | 'resync'
  | 'scan'
  | 'gap'
  | 'paused'
  | 'disconnected';

export interface LedgerHead {
  /** Number of the line, from 1. */
  n: number;
  /** BLAKE2b-256 in hex. */
  hash: string;
}

export interface MachineStatus {
  id: string;
  name: string;
  disks: { name: string; size: number; replica: string; export?: string }[];
  state: MachineState;
  /** What is wrong, in words, when the state is not ok. */
  detail: string | null;
  /** Where writers connect, or null while no ingest is open. */
  listen: string | null;
  rpoSeconds: number | null;
  headLsn: number;
  durableLsn: number;
  appliedLsn: number;
  /** The least LSN that a view can show; null while there is no point yet. */
  oldestLsn: number | null;
  redoBytes: number;
  undoBytes: number;
  backlog: { source: number; processServer: number; target: number };
  /** The last durable line of its ledger: who remembers it notices when the past is changed. */
  ledger?: LedgerHead;
  /** How the writes get here: `ingest` (direct) or `chain`; what else is known of a chain. */
  path?: 'ingest' | 'chain';
  source?: {
    state: SourceState;
    sync: SyncProgress | null;
    connected: boolean;
    dirtyBytes: number;
    scan?: ScanReport | null;
  };
}

/** When the dense windows will not fit on the retention volume any more, at the rate of the last hour. */
export interface RetentionForecast {
  /** `history falls under 24 h at …`; null as long as all of it fits. */
  text: string | null;
  /** The longest window of all machines. */
  hours: number;
  /** RFC 3339; in the past when it is so already. */
  fallsUnderAt: string | null;
  /** The machine that takes most of it. */
  machine: string | null;
  /** Hours of history that fit; null while nothing is written. */
  sustainedHours: number | null;
}
