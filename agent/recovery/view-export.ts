// Disks of a view as NBD exports: read synchronously, in a thread of their own, or with changes over them.
import type { BlockStore } from '../../core/block/block-store.ts';
import { toHomewardError } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import { NbdErrno, type Done, type NbdExport } from '../../core/nbd/export.ts';
import { nbdErrnoOf } from '../../core/nbd/nbd-errno.ts';
import { storeExport } from '../../core/nbd/store-export.ts';
import type { ViewReader } from '../replica/view-reader.ts';
import { brokenError, type ViewState } from './view-store.ts';

interface ViewDiskServed {
  reader: ViewReader;
  disk: number;
  state: ViewState;
  log: Log;
}

export function viewExport({ reader, disk, state, log }: ViewDiskServed): NbdExport {
  const { name, size } = reader.content.disks[disk] ?? { name: '', size: 0 };
  const refuse = (done: Done): void => done(NbdErrno.EPERM);
  return {
    name,
    description: describe(reader, name),
    size,
    readOnly: true,
    multiConnection: true,
    read(target, offset, done) {
      let errno: NbdErrno = NbdErrno.ok;
      try {
        if (state.broken !== null) throw brokenError();
        reader.read(disk, offset, target);
      } catch (thrown) {
        errno = nbdErrnoOf(thrown);
        const error = toHomewardError(thrown);
        const why = state.broken === null ? {} : { broken: state.broken };
        log.error('view-read-failed', { disk: name, offset, bytes: target.length, ...why, error });
      }
      done(errno);
    },
    write: (_payload, _offset, _fua, _buffer, done) => refuse(done),
    zero: (_offset, _length, _options, done) => refuse(done),
    flush: (done) => done(NbdErrno.ok),
    async extents(offset, length) {
      if (state.broken !== null) throw brokenError();
      return reader.extents(disk, offset, length);
    },
  };
}

/** `store` is the disk with its changes. A broken view refuses everything, its scratch as well. */
export function writableViewExport(
  { reader, disk, state, log }: ViewDiskServed,
  store: BlockStore,
): NbdExport {
  const { name } = reader.content.disks[disk] ?? { name: '' };
  const served = storeExport({
    name,
    description: describe(reader, name),
    store,
    onError: (error) => {
      const why = state.broken === null ? {} : { broken: state.broken };
      log.error('view-request-failed', { disk: name, ...why, error: toHomewardError(error) });
    },
  });
  const ifWhole =
    <A extends unknown[]>(request: (...args: [...A, Done]) => void) =>
    (...args: [...A, Done]): void => {
      if (state.broken === null) request(...args);
      else (args.at(-1) as Done)(NbdErrno.ESHUTDOWN);
    };
  return {
    ...served,
    read: ifWhole(served.read.bind(served)),
    write: ifWhole(served.write.bind(served)),
    zero: ifWhole(served.zero.bind(served)),
    flush: ifWhole(served.flush.bind(served)),
    async extents(offset, length) {
      if (state.broken !== null) throw brokenError();
      return served.extents(offset, length);
    },
  };
}

function describe({ content }: ViewReader, name: string): string {
  return `${name} as of lsn:${content.lsn}`;
}
