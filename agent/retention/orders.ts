// What is asked of every machine just now: its own policy, and its part in the space of the volume.
import fs from 'node:fs';
import type { Config } from '../../core/config.ts';
import { limits } from '../../core/limits.ts';
import type { Journal } from '../journal/journal.ts';
import type { MachineFile } from '../replica/machine-file.ts';
import { heldMarks } from '../replica/signal/marks.ts';
import type { UndoLog } from '../replica/undo/undo-log.ts';
import type { KeepOrder } from './janitor.ts';
import type { HeldPoint } from './kept-points.ts';
import { activeLocks } from './locks.ts';
import { machinePolicy } from './machine-policy.ts';
import { marksIn } from './marks.ts';
import { floorBytes, planSpace, type SpaceOrder, type SpaceUse, type SpaceVolume } from './space.ts';
import type { WriteRates } from './write-rates.ts';

export interface Ordered {
  readonly id: string;
  readonly file: MachineFile;
  readonly journal: Journal;
  readonly history: { readonly undo: UndoLog };
  readonly cursor: { readonly lsn: number; readonly pruned: number; readonly time: number };
  readonly rates: WriteRates;
  timeOf(lsn: number): number | null;
}

export interface OrdersInput {
  machines: readonly Ordered[];
  config: Config;
  volume: SpaceVolume;
  /** Microseconds. */
  now: number;
}

/** By machine, in the order of `machines`. */
export function ordersFor({
  machines,
  config,
  volume,
  now,
}: OrdersInput): { order: KeepOrder; space: SpaceOrder }[] {
  const uses = machines.map((machine) => spaceUse(machine, config, now));
  const space = planSpace(volume, uses, config.whenFull);
  return machines.map((machine, at) => {
    const mine = space[at] ?? { id: machine.id, freeBytes: 0, accept: true };
    return { order: orderFor(machine, config, mine, { volume, now }), space: mine };
  });
}

function orderFor(
  machine: Ordered,
  config: Config,
  { freeBytes }: SpaceOrder,
  { volume, now }: { volume: SpaceVolume; now: number },
): KeepOrder {
  const policy = machinePolicy(machine.file, config);
  const locks = (): HeldPoint[] => [
    ...activeLocks(machine.file.locks ?? [], now),
    ...heldMarks(machine.file.marks, policy, now),
  ];
  const { windowMs, maxBytes, floorMs, keep } = policy;
  const roomBytes = Math.max(0, volume.freeBytes - volume.reserveBytes);
  return {
    follow: {
      windowMs,
      windowMaxBytes: maxBytes,
      replicaLagMs: config.replicaLagMs,
      // Asked at each step: a point may be locked while the cursor is on its way to it.
      get keeps() {
        return Object.keys(policy.keep).length > 0 || locks().length > 0;
      },
      short: freeBytes > 0 || volume.freeBytes < volume.reserveBytes + config.segmentBytes,
      floorMs,
      stepBytes: Math.min(limits.stepBytes, Math.max(volume.freeBytes / 4, config.segmentBytes)),
      undoRoomBytes: Math.max(0, volume.freeBytes - volume.reserveBytes / 2),
      mayShorten: config.whenFull === 'shorten',
      get locked() {
        return locks().length > 0;
      },
      backlogBytes:
        config.applyBacklogBytes > 0
          ? config.applyBacklogBytes
          : Math.max(volume.freeBytes / 4, limits.applyBacklogLeastBytes),
      stops: (from, to) => [...locks().map(({ lsn }) => lsn), ...markLsns(machine, keep, { from, to, now })],
    },
    retain: { windowMs, maxBytes, floorMs, keep },
    demand: { locks, freeBytes, now, roomBytes, scarceRoomBytes: Math.max(roomBytes, volume.freeBytes / 2) },
  };
}

/** The last LSN before each full hour, day … that the cursor is about to pass. */
function markLsns(
  machine: Ordered,
  keep: KeepOrder['retain']['keep'],
  { from, to, now }: { from: number; to: number; now: number },
): number[] {
  const last = machine.journal.segments.findLast(({ firstLsn }) => firstLsn <= to);
  const marks = marksIn(machine.cursor.time, Math.max(last?.lastTime ?? 0, machine.cursor.time), keep, now);
  return marks.map((mark) => machine.journal.lsnAtTime(mark, from)).filter((lsn) => lsn > from && lsn <= to);
}

function spaceUse(machine: Ordered, config: Config, now: number): SpaceUse {
  const { id, file, journal, history, rates } = machine;
  const { floorMs } = machinePolicy(file, config);
  const bytesPerMinute = rates.bytesPerMinute(now);
  const since = now - floorMs * 1000;
  const recent = journal.segments.filter(({ lastArrival }) => lastArrival === 0 || lastArrival >= since);
  return {
    id,
    bytes: journal.redoBytes + history.undo.bytes,
    heldBytes: recent.reduce((sum, { bytes }) => sum + bytes, 0),
    floorBytes: floorOf(machine, config, now),
    bytesPerMinute,
  };
}

/** What the floor of a machine takes at its rate, once that is known. */
export function floorOf({ file, rates }: Ordered, config: Config, now: number): number {
  const { floorMs, maxBytes } = machinePolicy(file, config);
  const diskBytes = file.disks.reduce((sum, { size }) => sum + size, 0);
  const bytesPerMinute = rates.knownMinutes(now) >= 60 ? rates.bytesPerMinute(now) : null;
  return floorBytes({ floorMs, maxBytes, bytesPerMinute, diskBytes });
}

export function readVolume(path: string, reserveBytes: number): SpaceVolume {
  const { blocks, bavail, bsize } = fs.statfsSync(path);
  return { totalBytes: blocks * bsize, freeBytes: bavail * bsize, reserveBytes };
}
