// What all machines of a daemon share.
import type { Clock } from '../core/clock.ts';
import type { Config } from '../core/config.ts';
import type { BackgroundMerger } from '../core/extents/background-merger.ts';
import type { Log } from '../core/log.ts';
import type { StepWork } from './replica/undo/undo-step.ts';

export interface MachineContext {
  retention: string;
  replicas: string;
  config: Config;
  clock: Clock;
  log: Log;
  merger: BackgroundMerger;
  work: StepWork;
  /** Machines that get no further segment, because what is free is what others are sure of. */
  noRoom?: ReadonlySet<string>;
}
