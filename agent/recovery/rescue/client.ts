// Rescue as the command line asks for it: every machine of a bare retention volume, with no daemon.
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hostClock } from '../../../core/clock.ts';
import { HomewardError } from '../../../core/errors.ts';
import { silentLog } from '../../../core/log.ts';
import type {
  DiskRange,
  OnProgress,
  RecoverPlan,
  RecoverReport,
  RecoverRequest,
} from '../../control/service.ts';
import { disksAt, readMachineFile } from '../../replica/machine-file.ts';
import { planRecovery } from '../plan.ts';
import { countData, recoverMachine } from '../recover-machine.ts';
import { describeRescuable, rescuableIds, type Rescuable } from './rescue-list.ts';
import { rescueMoment } from './rescue-moments.ts';
import { rescuePaths } from './rescue-paths.ts';
import { RescuedMachine } from './rescued-machine.ts';
import { unknownRanges } from './rescue-unknown.ts';

export type { Rescuable } from './rescue-list.ts';

/** Absolute paths; nothing in them is changed. */
export interface RescueSource {
  retention: string;
  replicas: string | null;
}

const rangesNamed = 5;

export class RescueClient {
  readonly #source: RescueSource;

  constructor(source: RescueSource) {
    this.#source = source;
  }

  list(): Rescuable[] {
    const { retention, replicas } = this.#source;
    return rescuableIds(retention).map((id) => describeRescuable(retention, id, replicas));
  }

  planRecovery(request: RecoverRequest): Promise<RecoverPlan> {
    return this.#with(request.machine, async (machine) => {
      const plan = this.#plan(machine, request);
      return request.count ? countData(machine, plan, new AbortController().signal) : plan;
    });
  }

  /** Content that nothing is known of refuses the recovery, unless the request allows for it. */
  recover(request: RecoverRequest, progress: OnProgress, signal: AbortSignal): Promise<RecoverReport> {
    return this.#with(request.machine, async (machine) => {
      const plan = this.#plan(machine, request);
      if (!request.allowDamaged) refuseUnknown(machine, plan);
      const outside = { notes: notesDirectory(), clock: hostClock(), log: silentLog };
      return recoverMachine({ machine, plan, request, ...outside, progress, signal });
    });
  }

  #plan(machine: RescuedMachine, request: RecoverRequest): RecoverPlan {
    const { id, name, file } = machine;
    const { lsn, time, asked } = rescueMoment(machine, request.at);
    const disks = disksAt(file, lsn);
    return planRecovery({ machine: { id, name, disks }, lsn, time, asked, request, notes: notesDirectory() });
  }

  async #with<T>(name: string, use: (machine: RescuedMachine) => Promise<T>): Promise<T> {
    const machine = this.#find(name);
    try {
      return await use(machine);
    } finally {
      machine.close();
    }
  }

  /** By name or id. A machine whose files are damaged is told of as it is opened. */
  #find(wanted: string): RescuedMachine {
    const { retention, replicas } = this.#source;
    const all = rescuableIds(retention).map((id) => ({ id, name: tryName(retention, id) }));
    const found = all.filter(({ id, name }) => id === wanted || name === wanted);
    const [one] = found;
    if (one === undefined)
      throw new HomewardError('no-such-machine', `${retention} holds no machine ${wanted}`, {
        hint: 'homeward rescue DIR lists the machines that it holds.',
      });
    if (found.length > 1)
      throw new HomewardError('conflict', `${found.length} machines in ${retention} are called ${wanted}`, {
        hint: `Give its id: ${found.map(({ id }) => id).join(', ')}.`,
      });
    return new RescuedMachine(retention, one.id, replicas);
  }
}

/** Null for a machine of which not even that can be read; its id is its directory's name. */
function tryName(retention: string, id: string): string | null {
  try {
    return readMachineFile(rescuePaths(retention, id).machineFile).name;
  } catch (error) {
    if (error instanceof HomewardError) return null;
    throw error;
  }
}

/** The volume is only read, so what is noted of a recovery onto devices goes where there is always room. */
const notesDirectory = (): string => join(tmpdir(), 'homeward-rescue');

function refuseUnknown(machine: RescuedMachine, { lsn, disks }: RecoverPlan): void {
  const wanted = new Set(disks.map(({ name }) => name));
  const ranges = unknownRanges(machine.hold(lsn).content).filter(({ disk }) => wanted.has(disk));
  if (ranges.length === 0) return;
  const bytes = ranges.reduce((sum, { start, end }) => sum + end - start, 0);
  const named = ranges.slice(0, rangesNamed).map(spellRange).join(', ');
  const more = ranges.length > rangesNamed ? ` and ${ranges.length - rangesNamed} more places` : '';
  const missing = machine.disks.filter((disk) => disk.missing !== null && wanted.has(disk.name));
  const why = missing.map(({ name, missing: reason }) => `the replica of ${name} is missing (${reason})`);
  throw new HomewardError(
    'damaged',
    `${bytes} bytes at lsn:${lsn} are unknown: ${named}${more}${why.length > 0 ? '; ' : ''}${why.join(', ')}`,
    {
      hint:
        why.length > 0
          ? 'Neither redo nor undo tells of them. Give --replicas DIR, or --allow-damaged to get zeros there.'
          : 'Choose another point, or give --allow-damaged to get zeros there.',
    },
  );
}

const spellRange = ({ disk, start, end }: DiskRange): string => `${disk} [${start}, ${end})`;
