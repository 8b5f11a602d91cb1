// One segment file as the running log knows it, and the names of such files.

import type { GroupPlaces } from './group-places.ts';

/** A file of the log. It is open for reading as long as anybody uses it. */
export interface Segment {
  /** Its place in the owner's extent index; -1 until the owner says. */
  ordinal: number;
  path: string;
  readonly fd: number;
  /** The identity in its frames, 32 hex digits; empty while its first frame does not say it. */
  identity: string;
  readonly firstLsn: number;
  /**
   * The LSN before `firstLsn`: LSNs between, which only a `sync-begin` skips, never existed. firstLsn - 1
   * when there are none.
   */
  precededBy: number;
  /** Where some of its groups begin. */
  places: GroupPlaces;
  /** firstLsn - 1 while it holds no records. */
  lastLsn: number;
  firstTime: number;
  lastTime: number;
  /** When its newest group was written, microseconds of this host's clock. */
  lastArrival: number;
  /** Size of the file; how far content reaches. */
  readonly bytes: number;
  end: number;
  /**
   * False after something in it was cut, or a write or sync of it failed: such a file is never written
   * over.
   */
  recyclable: boolean;
  /** Readers that need the file to stay as it is. */
  users: number;
  retired: boolean;
}

export const isEmpty = (segment: Segment): boolean => segment.lastLsn < segment.firstLsn;

const namePattern = /^([0-9a-f]{16})\.seg$/;

export const segmentFileName = (firstLsn: number): string => `${firstLsn.toString(16).padStart(16, '0')}.seg`;

/** The first LSN that a file name states, or null when it is not the name of a segment. */
export function parseSegmentFileName(name: string): number | null {
  const match = namePattern.exec(name);
  const first = match ? parseInt(match[1] ?? '', 16) : NaN;
  return Number.isSafeInteger(first) ? first : null;
}

export const isSpareFileName = (name: string): boolean => /^spare-\d+\.new$/.test(name);
