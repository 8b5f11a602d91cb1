// Everything that the configuration server knows and does, in one place for its routes.
import type { Clock } from '../core/clock.ts';
import type { Log } from '../core/log.ts';
import type { Calls } from './hosts/calls.ts';
import type { HostList } from './hosts/host-list.ts';
import type { PendingList } from './hosts/pending-list.ts';
import type { Presence } from './hosts/presence.ts';
import type { WorkDesk } from './hosts/work-desk.ts';
import type { Assignments } from './machines/assignments.ts';
import type { LedgerHeads } from './machines/ledger-heads.ts';
import type { MachineList } from './machines/machine-list.ts';
import type { EventLog } from './state/event-log.ts';
import type { Turns } from './state/turns.ts';

export interface Registry {
  version: string;
  clock: Clock;
  log: Log;
  /** Host ids that need nobody's approval. */
  trusted: ReadonlySet<string>;
  hosts: HostList;
  pending: PendingList;
  presence: Presence;
  machines: MachineList;
  assignments: Assignments;
  ledgers: LedgerHeads;
  events: EventLog;
  desk: WorkDesk;
  calls: Calls;
  /** Whatever looks and then writes does so in its turn. */
  turns: Turns;
}
