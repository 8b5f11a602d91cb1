// A disk of a view as a read-only NBD export, read synchronously: it lives in a thread of its own.
import { toHomewardError } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import { NbdErrno, type Done, type NbdExport } from '../../core/nbd/export.ts';
import type { ViewReader } from '../replica/view-content.ts';

export function viewExport(reader: ViewReader, disk: number, log: Log): NbdExport {
  const { name, size } = reader.content.disks[disk] ?? { name: '', size: 0 };
  const refuse = (done: Done): void => done(NbdErrno.EPERM);
  return {
    name,
    description: `${name} as of lsn:${reader.content.lsn}`,
    size,
    readOnly: true,
    multiConnection: true,
    read(target, offset, done) {
      let errno: NbdErrno = NbdErrno.ok;
      try {
        reader.read(disk, offset, target);
      } catch (error) {
        log.error('view-read-failed', {
          disk: name,
          offset,
          bytes: target.length,
          error: toHomewardError(error),
        });
        errno = NbdErrno.EIO;
      }
      done(errno);
    },
    write: (_payload, _offset, _fua, _buffer, done) => refuse(done),
    zero: (_offset, _length, _options, done) => refuse(done),
    flush: (done) => done(NbdErrno.ok),
    extents: (offset, length) => Promise.resolve(reader.extents(disk, offset, length)),
  };
}
