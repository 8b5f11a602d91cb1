// A hand-over as it is asked for and told of. Times are RFC 3339 in UTC.
import type { Consistency } from '../record/notes.ts';

/** Where a machine goes on: on an export of its master target, or at whoever is given its replicas. */
export type HandOverTarget = { kind: 'run'; listen: string } | { kind: 'release'; name: string };

export interface HandOverRequest {
  machine: string;
  to: HandOverTarget;
  /** WHEN it goes on from, for one that runs here; where it is pinned without. */
  at?: string | undefined;
  /** Where the plan said that it stands; it is refused when that has changed. */
  lsn?: number | undefined;
  /** Whoever asks vouches for it: two that run at once are two different machines soon. */
  sourceIsOff?: boolean | undefined;
  /** What is damaged or unknown becomes zeros. */
  allowDamaged?: boolean | undefined;
}

interface At {
  lsn: number;
  time: string | null;
}

/** Points that go. */
export interface PointSpan {
  count: number;
  from: At;
  to: At;
  tags: { lsn: number; time: string | null; name: string; consistency: Consistency }[];
}

export interface HandOverPlan {
  machine: string;
  id: string;
  to: HandOverTarget;
  /** What it goes on from. */
  lsn: number;
  time: string | null;
  /** Points after that, which a release gives up; null where there are none, or all of them stay. */
  givesUp: PointSpan | null;
  /** Points up to that, which a release closes; null for one that runs here. */
  closes: PointSpan | null;
  source: { path: 'chain' | 'ingest'; connected: boolean; fencedBy: string };
  disks: { name: string; size: number; replica: string }[];
  /** `resumes`: it was begun before, and goes on. */
  stage: 'new' | 'resumes' | 'done';
}

export interface HandOverReport extends HandOverPlan {
  /** What was written so that the newest state is that point. */
  bytesWritten: number;
  exports: string[];
  /** What was damaged or unknown, and is zeros. */
  damaged: { disk: string; start: number; end: number }[];
  /** False when the same call had been made before. */
  changed: boolean;
}
