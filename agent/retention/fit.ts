// Whether a machine that is new would have room for its floor beside the others.
import type { Config } from '../../core/config.ts';
import { machinePolicy, type RetentionFields } from './machine-policy.ts';
import { floorOf, readVolume, type Ordered } from './orders.ts';
import { floorBytes, protectFits, refuseUnfit } from './space.ts';

export interface NewFloor {
  retention: string;
  config: Config;
  machines: readonly Ordered[];
  /** The machine that is to be made. */
  machine: RetentionFields & { disks: readonly { size: number }[] };
  /** Microseconds. */
  now: number;
}

/** Throws 'volume-too-small'. */
export function refuseWithoutFloor({ retention, config, machines, machine, now }: NewFloor): void {
  const { floorMs, maxBytes } = machinePolicy(machine, config);
  const diskBytes = machine.disks.reduce((sum, { size }) => sum + size, 0);
  const floors = machines.map((each) => floorOf(each, config, now));
  floors.push(floorBytes({ floorMs, maxBytes, bytesPerMinute: null, diskBytes }));
  const { totalBytes, reserveBytes } = readVolume(retention, config.retentionReserveBytes);
  refuseUnfit(machine.name, protectFits(floors, reserveBytes, totalBytes));
}
