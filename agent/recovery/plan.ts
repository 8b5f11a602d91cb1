// What a recovery would write where: looked up and judged before anything is written.
import fs from 'node:fs';
import { join } from 'node:path';
import { HomewardError } from '../../core/errors.ts';
import { systemError } from '../../core/system-error.ts';
import type { RecoverPlan, RecoverRequest, RecoverTarget } from '../control/service.ts';
import { devicePath, inspectDevice, refuseUnsafeTarget } from '../replica/target-device.ts';
import { targetError } from './target-error.ts';
import { targetsInUse } from './targets-in-use.ts';

export interface PlanInput {
  machine: { name: string; disks: readonly { name: string; size: number }[] };
  lsn: number;
  /** RFC 3339, or null. */
  time: string | null;
  /** The time that was asked for, RFC 3339, or null. */
  asked: string | null;
  request: RecoverRequest;
}

/**
 * Throws when a target would be refused: `exists`, `conflict`, `target-missing`, `target-too-small`,
 * `target-signature` ….
 */
export function planRecovery({ machine, lsn, time, asked, request }: PlanInput): RecoverPlan {
  const { target, overwrite } = request;
  const disks =
    target.kind === 'block'
      ? planDevices(machine, target, overwrite)
      : machine.disks.map((disk) => planFile(disk, target.kind, target.directory));
  return { machine: machine.name, lsn, time, asked, disks };
}

type PlannedDisk = RecoverPlan['disks'][number];

function planFile(
  disk: { name: string; size: number },
  format: 'raw' | 'qcow2' | 'vmdk',
  directory: string,
): PlannedDisk {
  const to = join(directory, `${disk.name}.${format}`);
  targetsInUse.refuseInUse(to);
  refuseUnfit(directory);
  if (isTaken(to, directory)) throw new HomewardError('exists', `${to} exists`);
  return { name: disk.name, size: disk.size, to, format, found: null };
}

/** Whether it can be made and written to is seen when that is done: a plan writes nothing. */
function refuseUnfit(directory: string): void {
  try {
    if (fs.statSync(directory, { throwIfNoEntry: false })?.isDirectory() !== false) return;
  } catch (error) {
    throw targetError(error, directory);
  }
  throw targetError(systemError('ENOTDIR', 'stat', directory), directory);
}

/** A symbolic link that leads nowhere is something that exists, too. */
function isTaken(to: string, directory: string): boolean {
  try {
    return fs.lstatSync(to, { throwIfNoEntry: false }) !== undefined;
  } catch (error) {
    throw targetError(error, directory);
  }
}

/** Only the disks that are named are recovered; each to a device of its own. */
function planDevices(
  machine: PlanInput['machine'],
  target: Extract<RecoverTarget, { kind: 'block' }>,
  overwrite: readonly string[],
): PlannedDisk[] {
  const planned = target.devices.map(({ disk: name, device }) => {
    const disk = machine.disks.find((candidate) => candidate.name === name);
    if (disk === undefined) throw new HomewardError('no-such-disk', `${machine.name} has no disk ${name}`);
    targetsInUse.refuseInUse(devicePath(device));
    const found = inspectDevice(device);
    refuseUnsafeTarget(found, disk.size, overwrite);
    return { name, size: disk.size, to: found.path, format: 'block', found: found.signature };
  });
  for (const key of ['name', 'to'] as const) {
    const values = planned.map((disk) => disk[key]);
    const twice = values.find((value, index) => values.indexOf(value) < index);
    if (twice !== undefined) throw new HomewardError('bad-target', `${twice} is named twice`);
  }
  return planned;
}
