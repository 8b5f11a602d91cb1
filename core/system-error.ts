// Errors shaped like those of node:fs, for what fails without the kernel having been asked.
import { constants } from 'node:os';

/** `code` is the name of the errno, for example `ENOSPC`. */
export function systemError(code: string, syscall: string, about = ''): Error {
  const errno = -(constants.errno[code as keyof typeof constants.errno] ?? constants.errno.EIO);
  return Object.assign(new Error(`${code}: ${syscall} ${about}`.trim()), { code, errno, syscall });
}
