// A disk of a view as a store that is only read, under an overlay that takes writes.
import type { BlockStore } from '../../core/block/block-store.ts';
import { systemError } from '../../core/system-error.ts';
import type { ViewReader } from '../replica/view-reader.ts';

/** Whether a view still has its content. */
export interface ViewState {
  /** Why its content had to go; null as long as it has it. */
  broken: string | null;
}

export const brokenError = (): Error => systemError('ESHUTDOWN', 'read', '(the content of the view is gone)');

/** Nothing is read once the view is broken, also for requests that were under way. */
export function viewStore(reader: ViewReader, disk: number, state: ViewState): BlockStore {
  const refuse = (): Promise<never> => Promise.reject(systemError('EPERM', 'write', '(it is only read)'));
  return {
    size: reader.content.disks[disk]?.size ?? 0,
    async read(target, offset) {
      if (state.broken !== null) throw brokenError();
      reader.read(disk, offset, Buffer.from(target.buffer, target.byteOffset, target.byteLength));
    },
    write: refuse,
    zero: refuse,
    flush: () => Promise.resolve(),
    async extents(offset, length) {
      if (state.broken !== null) throw brokenError();
      return reader.extents(disk, offset, length);
    },
    close: () => Promise.resolve(),
  };
}
