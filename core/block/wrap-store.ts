// What wrappers have in common: a store whose every call goes through one function before it reaches the
// store below.
import type { BlockStore } from './block-store.ts';

export interface StoreCall {
  name: 'read' | 'write' | 'zero' | 'flush' | 'extents';
  offset: number;
  /** Bytes; 0 for a flush. */
  length: number;
}

/** Does something around one call; `run` makes the call on the store below. */
export type AroundCall = <T>(call: StoreCall, run: () => Promise<T>) => Promise<T>;

export function wrapStore(base: BlockStore, around: AroundCall): BlockStore {
  return {
    size: base.size,
    read: (target, offset) =>
      around({ name: 'read', offset, length: target.length }, () => base.read(target, offset)),
    write: (source, offset) =>
      around({ name: 'write', offset, length: source.length }, () => base.write(source, offset)),
    zero: (offset, length, options) =>
      around({ name: 'zero', offset, length }, () => base.zero(offset, length, options)),
    flush: () => around({ name: 'flush', offset: 0, length: 0 }, () => base.flush()),
    extents: (offset, length) =>
      around({ name: 'extents', offset, length }, () => base.extents(offset, length)),
    close: () => base.close(),
  };
}
