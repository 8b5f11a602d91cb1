// What a recovery would write where: looked up and judged before anything is written.
import fs from 'node:fs';
import { dirname, join } from 'node:path';
import { assert, errnoOf, HomewardError } from '../../core/errors.ts';
import { systemError } from '../../core/system-error.ts';
import type { RecoverPlan, RecoverRequest, RecoverTarget } from '../control/service.ts';
import { devicePath, inspectDevice, refuseUnsafeTarget } from '../replica/target-device.ts';
import { planImage } from './formats/image-plan.ts';
import { stretchesOf } from './formats/stretch.ts';
import { findDone, imageFormat, type PlannedDisk } from './recovery-target.ts';
import { targetError } from './target-error.ts';
import { targetsInUse } from './targets-in-use.ts';

export interface PlanInput {
  machine: { id: string; name: string; disks: readonly { name: string; size: number }[] };
  lsn: number;
  /** RFC 3339, or null. */
  time: string | null;
  /** The time that was asked for, RFC 3339, or null. */
  asked: string | null;
  request: RecoverRequest;
  /** The directory of the notes of recoveries onto devices. */
  notes: string;
}

/**
 * Throws when a target would be refused: `exists`, `conflict`, `target-missing`, `target-too-small`,
 * `target-signature` ….
 */
export function planRecovery(input: PlanInput): RecoverPlan {
  const { machine, lsn, time, asked, request } = input;
  const { target, overwrite } = request;
  assert(target.kind !== 'in-place', 'a recovery in place has a plan of its own');
  const planned =
    target.kind === 'block' ? planDevices(machine, target, overwrite) : planFiles(machine, target);
  const left = machine.disks.flatMap(({ name }) =>
    planned.some((disk) => disk.name === name) ? [] : [name],
  );
  const disks = planned.map((disk) => withDone(disk, input));
  return { machine: machine.name, lsn, time, asked, disks, ...(left.length > 0 && { left }) };
}

/** What an interrupted run of the same recovery has done; throws 'conflict' when it was of another one. */
function withDone(disk: PlannedDisk, { machine, lsn, request, notes }: PlanInput): PlannedDisk {
  const identity = { machine: machine.id, lsn, disk: disk.name, size: disk.size, format: disk.format };
  const found = findDone({ disk, identity, notes, fresh: request.fresh ?? false });
  if (found === null || found.done.size === 0) return disk;
  const { kept } = planImage(imageFormat(disk.format), disk.size, found.done);
  return { ...disk, resumes: kept.size / stretchesOf(disk.size) };
}

type FileTarget = Exclude<RecoverTarget, { kind: 'block' | 'in-place' }>;

const planFiles = ({ disks }: PlanInput['machine'], target: FileTarget): PlannedDisk[] =>
  disks.map((disk) => planFile(disk, target));

function planFile(
  disk: { name: string; size: number },
  { kind: format, directory }: FileTarget,
): PlannedDisk {
  const to = join(directory, `${disk.name}.${format}`);
  targetsInUse.refuseInUse(to);
  refuseUnfit(directory);
  if (isTaken(to, directory)) throw new HomewardError('exists', `${to} exists`);
  return { name: disk.name, size: disk.size, to, format, found: null, freeBytes: freeBytes(directory) };
}

/** Of the volume that the directory lies on, or will. */
function freeBytes(directory: string): number {
  try {
    const { bavail, bsize } = fs.statfsSync(directory);
    return bavail * bsize;
  } catch (error) {
    const parent = dirname(directory);
    if (errnoOf(error) !== 'ENOENT' || parent === directory) throw targetError(error, directory);
    return freeBytes(parent);
  }
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
    const { path, size, wwid, signature } = found;
    return { name, size: disk.size, to: path, format: 'block', found: signature, freeBytes: size, wwid };
  });
  for (const key of ['name', 'to'] as const) {
    const values = planned.map((disk) => disk[key]);
    const twice = values.find((value, index) => values.indexOf(value) < index);
    if (twice !== undefined) throw new HomewardError('bad-target', `${twice} is named twice`);
  }
  return planned;
}
