// One linear address for every byte of a machine's disks, so that one index serves them all.
import { limits } from '../limits.ts';

/** Every byte of every disk a machine can have: the extent of content whose place cannot be known. */
export const wholeMachine = { start: 0, end: limits.diskBytes * limits.disksPerMachine } as const;

/**
 * The address of a byte; `offset` may be the end of the disk, for the open end of an extent, which is then
 * the start of the next disk. Addresses reach 2 ** 53, every one of them exact in a double.
 */
export function machineAddress(disk: number, offset: number): number {
  if (!Number.isInteger(disk) || disk < 0 || disk >= limits.disksPerMachine) {
    throw new RangeError(`${disk} is not a disk number`);
  }
  if (!Number.isInteger(offset) || offset < 0 || offset > limits.diskBytes) {
    throw new RangeError(`${offset} is not an offset on a disk`);
  }
  return disk * limits.diskBytes + offset;
}

/** The disk of the byte at `address`. */
export function addressDisk(address: number): number {
  return Math.floor(address / limits.diskBytes);
}

/** The offset on its disk of the byte at `address`. */
export function addressOffset(address: number): number {
  return address % limits.diskBytes;
}
