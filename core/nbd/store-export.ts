// Serves any block store over NBD.
import type { BlockExtent, BlockStore } from '../block/block-store.ts';
import { NbdErrno, type Done, type NbdExport } from './export.ts';
import { nbdErrnoOf } from './nbd-errno.ts';

export interface StoreExportOptions {
  name: string;
  description?: string;
  store: BlockStore;
  readOnly?: boolean;
  /** True for stores whose `flush` covers every completed write, whoever made it: all of ours. */
  multiConnection?: boolean;
  /** Hears of every error that a client is told about. */
  onError?: (error: unknown) => void;
}

export function storeExport(options: StoreExportOptions): NbdExport {
  const { store } = options;
  const finish = (work: Promise<void>, answer: Done): void => {
    work.then(
      () => answer(NbdErrno.ok),
      (error: unknown) => {
        options.onError?.(error);
        answer(nbdErrnoOf(error));
      },
    );
  };
  return {
    name: options.name,
    description: options.description ?? '',
    size: store.size,
    readOnly: options.readOnly ?? false,
    multiConnection: options.multiConnection ?? true,
    read: (target, offset, done) => finish(store.read(target, offset), done),
    // The server keeps the payload's buffer until `done`, and the store needs it no longer than that.
    write: (payload, offset, fua, _buffer, done) =>
      finish(thenFlush(store, store.write(payload, offset), fua), done),
    zero: (offset, length, { punch, fua }, done) =>
      finish(thenFlush(store, store.zero(offset, length, { punch }), fua), done),
    flush: (done) => finish(store.flush(), done),
    extents: (offset: number, length: number): Promise<BlockExtent[]> => store.extents(offset, length),
  };
}

async function thenFlush(store: BlockStore, work: Promise<void>, fua: boolean): Promise<void> {
  await work;
  if (fua) await store.flush();
}
