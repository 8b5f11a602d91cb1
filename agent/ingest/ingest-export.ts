// One protected disk as an NBD export: writes go to the journal, reads come from its head.
import type { BlockExtent } from '../../core/block/block-store.ts';
import { toHomewardError, type HomewardError } from '../../core/errors.ts';
import type { Log } from '../../core/log.ts';
import { NbdErrno, type Done, type NbdExport, type ReceiveBuffer } from '../../core/nbd/export.ts';
import type { Journal } from '../journal/journal.ts';
import type { HeadReader } from './head-reader.ts';

export interface IngestDisk {
  /** Place in the machine's list of disks. */
  disk: number;
  name: string;
  description: string;
  /** Bytes. */
  size: number;
  journal: Journal;
  reader: HeadReader;
  log: Log;
}

export function ingestExport(options: IngestDisk): NbdExport {
  const { disk, journal, reader, log } = options;
  const answer =
    (done: Done) =>
    (error: HomewardError | null): void =>
      done(error === null ? NbdErrno.ok : errnoFor(error));
  return {
    name: options.name,
    description: options.description,
    size: options.size,
    readOnly: false,
    multiConnection: true,
    read(target: Buffer, offset: number, done: Done): void {
      reader.read(disk, offset, target).then(
        () => done(NbdErrno.ok),
        (error: unknown) => {
          log.error('read-failed', {
            disk: options.name,
            offset,
            bytes: target.length,
            error: toHomewardError(error),
          });
          done(NbdErrno.EIO);
        },
      );
    },
    write(payload: Buffer, offset: number, fua: boolean, buffer: ReceiveBuffer, done: Done): void {
      journal.write(disk, offset, payload, fua, buffer, answer(done));
    },
    zero(offset, length, { discard, fua }, done): void {
      journal.zero(disk, offset, length, { discard, fua }, answer(done));
    },
    flush(done: Done): void {
      journal.flush(answer(done));
    },
    extents(offset: number, length: number): Promise<BlockExtent[]> {
      return reader.extents(disk, offset, length);
    },
  };
}

export function errnoFor(error: HomewardError): NbdErrno {
  return error.code === 'no-space' ? NbdErrno.ENOSPC : NbdErrno.EIO;
}
