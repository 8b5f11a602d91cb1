// The files of a host, to be read only: whatever would change one is refused.
import fs from 'node:fs';
import { systemError } from '../../core/system-error.ts';
import type { Files } from '../../core/files/files.ts';
import { hostFiles } from '../../core/files/host-files.ts';

const refuse = (call: string): never => {
  throw systemError('EROFS', call);
};

/** `open` opens for reading. What would write fails with EROFS, whatever the volume would take. */
export const readOnlyFiles: Files = {
  ...hostFiles,
  open: (path) => fs.openSync(path, fs.constants.O_RDONLY),
  create: () => refuse('open'),
  allocate: () => refuse('fallocate'),
  write: () => refuse('writev'),
  zero: () => Promise.reject(systemError('EROFS', 'fallocate')),
  sync: () => Promise.reject(systemError('EROFS', 'fdatasync')),
  syncDirectory: () => Promise.reject(systemError('EROFS', 'fsync')),
  rename: () => refuse('rename'),
  unlink: () => refuse('unlink'),
  ensureDirectory: () => refuse('mkdir'),
};
