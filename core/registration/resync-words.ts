// What is said of a resync of extents, between operators, the configuration server and a source.

/** Bytes [start, end) of a disk, by its name. */
export interface ResyncExtent {
  disk: string;
  start: number;
  end: number;
}

/** What will be compared, and sent where it differs. */
export interface ResyncOutcome {
  /** Of the dirty map, 4 MiB each; 0 when all of the machine is compared. */
  regions: number;
  bytes: number;
  /** A disk that is scanned has no map: then everything is compared. */
  whole: boolean;
  /** It begins now, is done by the sync that goes on, or begins when the process server can be reached. */
  state: 'begun' | 'joined' | 'waits';
}

export interface ResyncReport extends ResyncOutcome {
  machine: string;
  extents: ResyncExtent[];
}
