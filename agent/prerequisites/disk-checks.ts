// The checks of disks, in the order in which they are shown.
import { atRest } from './at-rest.ts';
import type { Check } from './check.ts';
import { diskCount } from './disk-count.ts';
import { fsIdentityUnique } from './fs-identity-unique.ts';
import { retentionNotLvm, rootNotLvm } from './not-on-lvm.ts';
import { retentionVolume } from './retention-volume.ts';
import { scsiUuid } from './scsi-uuid.ts';
import { uuidUnique } from './uuid-unique.ts';

export const diskChecks: readonly Check[] = [
  diskCount,
  rootNotLvm,
  retentionNotLvm,
  scsiUuid,
  uuidUnique,
  retentionVolume,
  fsIdentityUnique,
  atRest,
];
