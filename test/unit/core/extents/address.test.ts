// One address for every byte of a machine.
import t from 'tap';
import {
  addressDisk,
  addressOffset,
  machineAddress,
  wholeMachine,
} from '../../../../core/extents/address.ts';
import { limits } from '../../../../core/limits.ts';

t.test('disk and offset come back from an address, up to the last byte of the last disk', async (t) => {
  for (const disk of [0, 1, 63, limits.disksPerMachine - 1]) {
    for (const offset of [0, 1, 511, 2 ** 32, 2 ** 45 + 1, limits.diskBytes - 1]) {
      const address = machineAddress(disk, offset);
      t.same([addressDisk(address), addressOffset(address)], [disk, offset]);
    }
  }
});

t.test('the end of a disk is the start of the next, the last ends where the machine ends', async (t) => {
  t.equal(machineAddress(0, limits.diskBytes), machineAddress(1, 0));
  t.equal(machineAddress(limits.disksPerMachine - 1, limits.diskBytes), wholeMachine.end);
});

t.test('what is not on a disk has no address', async (t) => {
  for (const disk of [-1, 0.5, limits.disksPerMachine]) t.throws(() => machineAddress(disk, 0), RangeError);
  for (const offset of [-1, NaN, limits.diskBytes + 1]) t.throws(() => machineAddress(0, offset), RangeError);
});
