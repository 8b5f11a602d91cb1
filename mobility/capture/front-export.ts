// A captured disk as an NBD export: reads come from the disk itself, every change is captured on its way
// there.
import type { BlockExtent } from '../../core/block/block-store.ts';
import { NbdErrno, type Done, type NbdExport } from '../../core/nbd/export.ts';
import { nbdErrnoOf } from '../../core/nbd/nbd-errno.ts';
import { FrontChange, type ChangeRequest } from './front-change.ts';
import type { FrontDisk } from './front-disk.ts';

/** A flush needs no record: what is durable at the target is that of every write, flushed or not. */
export function frontExport(disk: FrontDisk, description = ''): NbdExport {
  const { store } = disk;
  const change = (request: ChangeRequest, done: Done): void => {
    if (request.length === 0) done(NbdErrno.ok);
    else new FrontChange(disk, request, done).begin();
  };
  return {
    name: disk.name,
    description,
    size: disk.size,
    readOnly: false,
    multiConnection: true,
    read(target, offset, done) {
      store.read(target, offset).then(
        () => done(NbdErrno.ok),
        (error: unknown) => {
          disk.readFailed(error, offset, target.length);
          done(nbdErrnoOf(error));
        },
      );
    },
    // The server keeps the payload's buffer until `done`, and `record` has copied it by then.
    write(payload, offset, fua, _buffer, done) {
      change({ offset, length: payload.length, payload, discard: false, punch: false, fua }, done);
    },
    zero(offset, length, { discard, punch, fua }, done) {
      change({ offset, length, payload: null, discard, punch, fua }, done);
    },
    flush(done) {
      disk.flush().then(
        () => done(NbdErrno.ok),
        (error: unknown) => done(nbdErrnoOf(error)),
      );
    },
    extents: (offset: number, length: number): Promise<BlockExtent[]> => store.extents(offset, length),
  };
}
