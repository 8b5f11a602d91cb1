// What a refusal of the target's file system means to whoever asked for a recovery.
import fs from 'node:fs';
import { errnoOf, HomewardError, toHomewardError, type ErrorCode } from '../../core/errors.ts';
import { MiB } from '../../core/units.ts';

const badDirectory = 'Choose a directory that exists, or one that can be made.';
const full =
  'Make room on the target volume and run the command again, which goes on where it was; ' +
  'or choose another volume.';
/** A writer that needs some blocks at once fails with so much left. */
const nearlyFullBytes = 4 * MiB;

const refusals: Readonly<Record<string, { code: ErrorCode; why: string; hint?: string }>> = {
  ENOENT: { code: 'bad-target', why: 'cannot be made', hint: badDirectory },
  ENAMETOOLONG: { code: 'bad-target', why: 'is too long a name', hint: badDirectory },
  ELOOP: { code: 'bad-target', why: 'leads through symbolic links without end', hint: badDirectory },
  ENOTDIR: { code: 'bad-target', why: 'is not a directory', hint: badDirectory },
  EROFS: { code: 'not-writable', why: 'is on a read-only volume' },
  EACCES: { code: 'not-writable', why: 'may not be written to' },
  EPERM: { code: 'not-writable', why: 'may not be written to' },
  EBUSY: { code: 'target-mounted', why: 'is in use' },
  ENOSPC: { code: 'no-space', why: 'has no room left', hint: full },
  EDQUOT: { code: 'no-space', why: 'has no room left in its quota', hint: full },
};

/** `path` is the directory or device that was asked for. What has no better words stays what it was. */
export function targetError(error: unknown, path: string): HomewardError {
  if (error instanceof HomewardError) return error;
  const refusal = refusals[errnoOf(error) ?? ''];
  if (refusal === undefined) return toHomewardError(error);
  const { code, why, hint } = refusal;
  return new HomewardError(code, `${path} ${why}`, { cause: error, ...(hint === undefined ? {} : { hint }) });
}

export function noSpace(path: string, cause?: unknown): HomewardError {
  return new HomewardError('no-space', `${path} has no room left`, { cause, hint: full });
}

/** For a device that takes fewer blocks than it has, such as a thin one; what it carried is gone already. */
export function noSpaceOnDevice(path: string, cause: unknown): HomewardError {
  const hint =
    'Make room where the device lies and run the command again, which goes on where it was; ' +
    'or choose another device.';
  return new HomewardError('no-space', `${path} has no room left`, { cause, hint });
}

export function isNearlyFull(directory: string): boolean {
  const { bavail, bsize } = fs.statfsSync(directory);
  return bavail * bsize < nearlyFullBytes;
}
