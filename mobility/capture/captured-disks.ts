// The captured disks of a machine as the sync sees them: regions that may differ, and reads that no write
// overlaps.
import type { BlockExtent } from '../../core/block/block-store.ts';

/** 4 MiB: what one entry of the dirty map stands for. */
export const regionBytes = 4 * 1024 * 1024;

export interface Region {
  disk: number;
  /** In regions of the disk. */
  index: number;
}

export interface CapturedDisks {
  readonly disks: readonly { name: string; size: number }[];
  /** Regions in the dirty map, in address order, those of hot writes included. */
  dirtyRegions(): Region[];
  readonly dirtyBytes: number;
  /** Every region is in the map; also when there are none. */
  readonly allDirty: boolean;
  /**
   * Some region has content that no record carries (unclean stop, overflow, failed write, sync not ended):
   * only a sync takes it out of the map, and a stop must not be called clean.
   */
  readonly needsSync: boolean;
  /** Bytes that the workload has changed so far; tells whether it is writing. */
  readonly changedBytes: number;
  /** Puts every region in, durably: everything has to be copied. */
  fillDirty(): Promise<void>;
  /**
   * Regions that a sync has to copy: those in the map when it begins. Until `copied`, no region of the list
   * leaves the map, whatever the acknowledgements say. To be called in the same turn as `recorder.syncBegin`,
   * behind it.
   */
  beginSync(): Region[];
  /**
   * Regions that have got content without a record since `beginSync`, to be copied before the same sync ends.
   */
  syncAgain(): Region[];
  /**
   * The sync has numbered the last record of this region at or below `lsn`; it may leave the map like any
   * other.
   */
  copied(region: Region, lsn: number): void;
  /** A read beside the writes: each byte is as it was at some moment of the read. */
  read(disk: number, offset: number, target: Buffer): Promise<void>;
  /**
   * Reads [offset, offset + length) so that no write overlaps from the reading until `use` has returned,
   * which numbers the records: a chunk that is written meanwhile is read again, and after a few times the
   * writes wait.
   */
  readStable(disk: number, offset: number, target: Buffer, use: (data: Buffer) => void): Promise<void>;
  /**
   * Calls `use`, which numbers a zero, if the extent reads as zeros without reading it and no write overlaps
   * until `use` has returned. Else false, and `use` was not called.
   */
  zeroStable(disk: number, offset: number, length: number, use: () => void): Promise<boolean>;
  /** What an extent of the backing disk consists of, for skipping holes; writes may change it at once. */
  extents(disk: number, offset: number, length: number): Promise<BlockExtent[]>;
}
