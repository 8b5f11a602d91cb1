// Which of NBD's few error numbers stands for an error of ours.
import { errnoOf } from '../errors.ts';
import { NbdErrno } from './export.ts';

const numbers: Record<string, NbdErrno> = {
  EPERM: NbdErrno.EPERM,
  EACCES: NbdErrno.EPERM,
  EROFS: NbdErrno.EPERM,
  ENOMEM: NbdErrno.ENOMEM,
  EINVAL: NbdErrno.EINVAL,
  ENOSPC: NbdErrno.ENOSPC,
  EDQUOT: NbdErrno.ENOSPC,
  EFBIG: NbdErrno.ENOSPC,
  ENOTSUP: NbdErrno.ENOTSUP,
  EOPNOTSUPP: NbdErrno.ENOTSUP,
  ESHUTDOWN: NbdErrno.ESHUTDOWN,
};

/** By the errno that the error or one of its causes carries; EIO for everything NBD has no word for. */
export function nbdErrnoOf(error: unknown): NbdErrno {
  return numbers[errnoOf(error) ?? ''] ?? NbdErrno.EIO;
}
