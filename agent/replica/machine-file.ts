// machine.json: who a machine is, what disks it has and where their replicas lie.
import { readSealedJson, writeSealedJson } from '../../core/atomic-file.ts';
import { HomewardError } from '../../core/errors.ts';

/** A sparse file `<replicas>/<machine id>/<disk>.raw`, or a device by its /dev/disk/by-id name. */
export type ReplicaPlace = { kind: 'file' } | { kind: 'device'; byId: string };

export interface ProtectedDisk {
  name: string;
  /** Bytes. */
  size: number;
  replica: ReplicaPlace;
}

export interface MachineFile {
  /** UUID. */
  id: string;
  name: string;
  /** RFC 3339. */
  created: string;
  disks: ProtectedDisk[];
  /** The first copy is under way: there are no points yet. */
  seeding: boolean;
}

const format = 'homeward-machine';

/** The machine in `file`, or null when there is none. */
export function readMachineFile(file: string): MachineFile | null {
  const body = readSealedJson(file, format);
  if (body === null) return null;
  if (!isMachineFile(body)) throw new HomewardError('damaged', `${file} does not describe a machine`);
  return body;
}

export function writeMachineFile(file: string, machine: MachineFile): void {
  writeSealedJson(file, format, machine);
}

function isMachineFile(body: unknown): body is MachineFile {
  const { id, name, disks, seeding } = body as Partial<Record<keyof MachineFile, unknown>>;
  return (
    typeof id === 'string' &&
    typeof name === 'string' &&
    typeof seeding === 'boolean' &&
    Array.isArray(disks) &&
    disks.every(isDisk)
  );
}

function isDisk(disk: unknown): disk is ProtectedDisk {
  const { name, size, replica } = disk as Partial<Record<keyof ProtectedDisk, unknown>>;
  return (
    typeof name === 'string' && Number.isSafeInteger(size) && typeof replica === 'object' && replica !== null
  );
}
