// A master target in a few lines that only answers: for tests of the control socket and of the command line.
import { HomewardError } from '../../core/errors.ts';
import type {
  HandOverPlan,
  HandOverRequest,
  IngestReport,
  MasterTargetService,
  RecoverPlan,
  RecoverRequest,
  StatusReport,
  TagReport,
  ViewReport,
} from '../../agent/control/service.ts';

export interface StubService extends MasterTargetService {
  /** Every call as it arrived: the name of the method, then its arguments but for progress and signal. */
  readonly calls: unknown[][];
  /** Resolves when `recover` or `verify` was aborted, with the reason. */
  readonly aborted: Promise<unknown>;
}

const time = '2026-01-31T14:05:00.123456Z';

export const stubStatus: StatusReport = {
  version: '0.1.0',
  retention: { path: '/retention', freeBytes: 12 * 1024 ** 3 },
  machines: [
    {
      id: '3f1c',
      name: 'web',
      disks: [{ name: 'root', size: 20 * 1024 ** 3, replica: '/replicas/3f1c/root.raw' }],
      state: 'ok',
      detail: null,
      listen: 'unix:/run/web.sock',
      rpoSeconds: 0.4,
      headLsn: 120,
      durableLsn: 118,
      appliedLsn: 40,
      oldestLsn: 0,
      redoBytes: 1536 * 1024,
      undoBytes: 0,
      backlog: { source: 0, processServer: 0, target: 78 },
    },
  ],
};

/**
 * Knows the machine `web` with the disk `root`. The machine `bug` makes it fail in a way nobody foresaw,
 * `forever` makes long work last until it is aborted, `rotten` has damage.
 */
export function stubService(): StubService {
  const calls: unknown[][] = [];
  const { promise: aborted, resolve: noteAbort } = Promise.withResolvers<unknown>();
  const heard = (...call: unknown[]): void => {
    calls.push(call);
  };
  const untilAborted = (signal: AbortSignal): Promise<never> =>
    new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => {
        noteAbort(signal.reason);
        reject(signal.reason as Error);
      });
    });
  return {
    calls,
    aborted,
    ...stubMachines(heard),
    ...stubRetention(heard),
    ...stubViews(heard),
    ...stubHandOver(heard),
    async planRecovery(request) {
      heard('planRecovery', request);
      return planFor(request);
    },
    async recover(request, progress, signal) {
      heard('recover', request);
      const plan = planFor(request);
      progress({ done: 0, total: 100, what: 'root' });
      if (request.machine === 'forever') await untilAborted(signal);
      return { ...plan, bytesWritten: 1024 ** 2, seconds: 2 };
    },
    async damage(machine) {
      heard('damage', machine);
      return { machine, extents: [] };
    },
    async verify(request, progress, signal) {
      heard('verify', request);
      ensureKnown(request.machine);
      const { machine } = request;
      progress({ done: 0, total: 100, what: 'redo' });
      if (machine === 'forever') await untilAborted(signal);
      const covered = { bytes: 4096, records: 7, fromLsn: 1, toLsn: 7, complete: true };
      if (machine !== 'rotten') return { machine, ok: true, covered, damaged: [] };
      const damage = {
        disk: 'root',
        start: 0,
        end: 4096,
        fromLsn: 3,
        toLsn: 4,
        file: 'redo/1.seg',
        what: 'payload',
      };
      return { machine, ok: false, covered, damaged: [damage] };
    },
  };
}

type Heard = (...call: unknown[]) => void;

function ensureKnown(machine: string): void {
  if (machine === 'bug') throw new TypeError('the stub was asked to break');
  if (!['web', 'forever', 'rotten', 'close'].includes(machine)) {
    throw new HomewardError('no-such-machine', `there is no machine "${machine}"`);
  }
}

const tag = (machine: string, name: string): TagReport => ({
  machine,
  lsn: 118,
  time,
  name,
  consistency: 'user',
});

function stubHandOver(heard: Heard): Pick<MasterTargetService, 'planHandOver' | 'handOver'> {
  return {
    async planHandOver(request) {
      heard('planHandOver', request);
      return handOverPlan(request);
    },
    async handOver(request) {
      heard('handOver', request);
      const plan = handOverPlan(request);
      if (plan.source.connected && request.sourceIsOff !== true)
        throw new HomewardError('source-connected', 'the source of web is still connected');
      return { ...plan, bytesWritten: 4096, exports: ['root'], damaged: [], changed: true };
    },
  };
}

/** Pinned at 100. */
function handOverPlan({ machine, to }: HandOverRequest): HandOverPlan {
  ensureKnown(machine);
  const spans = {
    givesUp: { count: 18, from: { lsn: 101, time }, to: { lsn: 118, time }, tags: [tag(machine, 'late')] },
    closes: { count: 101, from: { lsn: 0, time }, to: { lsn: 100, time }, tags: [] },
  };
  return {
    ...{ machine, id: '3f1c', to, lsn: 100, time, stage: 'new' },
    ...(to.kind === 'release' ? spans : { givesUp: null, closes: null }),
    source: { path: 'ingest', connected: machine === 'forever', fencedBy: 'its ingest is closed' },
    disks: [{ name: 'root', size: 20 * 1024 ** 3, replica: '/replicas/3f1c/root.raw' }],
  };
}

type MachineCall = 'openIngest' | 'seeded' | 'checkSeeds' | 'closeIngest' | 'tag' | 'status' | 'points';

function stubMachines(heard: Heard): Pick<MasterTargetService, MachineCall> {
  return {
    async openIngest(request): Promise<IngestReport> {
      heard('openIngest', request);
      const { machine, listen, seeding } = request;
      return {
        machine,
        id: '3f1c',
        listen,
        exports: request.disks.map((disk) => disk.name),
        seeding,
        changed: true,
      };
    },
    async checkSeeds(seeds) {
      heard('checkSeeds', seeds);
      return seeds.map(({ disk, size }) => ({ disk, bytes: size, storedBytes: size, seconds: 1 }));
    },
    async seeded(machine) {
      heard('seeded', machine);
      ensureKnown(machine);
      return { machine, lsn: 12, time };
    },
    async closeIngest(machine) {
      heard('closeIngest', machine);
      ensureKnown(machine);
      return { machine, changed: true };
    },
    async tag(machine, name) {
      heard('tag', machine, name);
      ensureKnown(machine);
      return tag(machine, name);
    },
    async status() {
      heard('status');
      return stubStatus;
    },
    async points(machine) {
      heard('points', machine);
      ensureKnown(machine);
      const gap = { from: 1, to: 12, reason: 'first copy', fromTime: time, toTime: time };
      const window = { from: { lsn: 12, time }, to: { lsn: 118, time } };
      return { machine, window, gaps: [gap], tags: [tag(machine, 'before-upgrade')], kept: [] };
    },
  };
}

/** `tag:held` is locked until 2099. */
function stubRetention(
  heard: Heard,
): Pick<MasterTargetService, 'retention' | 'lockPoint' | 'unlockPoint' | 'unpin'> {
  const lock = { lsn: 118, time, until: '2099-01-01T00:00:00.000000Z', since: time, name: null };
  return {
    async retention(machine, change) {
      heard('retention', machine, change);
      ensureKnown(machine);
      return {
        machine,
        windowMs: change?.windowMs ?? 86_400_000,
        keep: change?.keep ?? 'hourly=7d,daily=4w',
        maxBytes: 0,
        floorMs: 14_400_000,
        from: { window: 'protection', keep: 'machine', maxBytes: 'default', floor: 'default' },
        changed: change !== null,
      };
    },
    async unpin(machine) {
      heard('unpin', machine);
      ensureKnown(machine);
      return { machine, changed: true };
    },
    async lockPoint(request) {
      heard('lockPoint', request);
      ensureKnown(request.machine);
      return { machine: request.machine, ...lock, name: request.name, changed: true };
    },
    async unlockPoint(machine, at) {
      heard('unlockPoint', machine, at);
      ensureKnown(machine);
      if (at === 'tag:held') throw new HomewardError('locked', `lsn:118 is locked until ${lock.until}`);
      return { machine, ...lock, changed: true };
    },
  };
}

function stubViews(
  heard: Heard,
): Pick<MasterTargetService, 'openView' | 'listViews' | 'renewView' | 'closeViews'> {
  const view = (machine: string, listen: string): ViewReport => ({
    id: 'v1',
    machine,
    lsn: 118,
    time,
    listen,
    exports: ['root'],
    writable: false,
    expiresAt: null,
  });
  return {
    async openView(request) {
      heard('openView', request);
      ensureKnown(request.machine);
      if (request.writable) throw new HomewardError('not-in-this-version', 'views cannot be written yet');
      return { ...view(request.machine, request.listen), asked: null };
    },
    async listViews() {
      heard('listViews');
      return [view('web', 'unix:/run/view.sock')];
    },
    async renewView(id, leaseMs) {
      heard('renewView', id, leaseMs);
      return view('web', 'unix:/run/view.sock');
    },
    async closeViews(which) {
      heard('closeViews', which);
      if ('machine' in which) ensureKnown(which.machine);
      else if (which.id !== 'v1') throw new HomewardError('no-such-view', `there is no view "${which.id}"`);
      return [view('web', 'unix:/run/view.sock')];
    },
  };
}

function planFor({ machine, target, at }: RecoverRequest): RecoverPlan {
  ensureKnown(machine);
  if (at === 'tag:none') throw new HomewardError('no-such-tag', 'there is no tag "none"');
  if (target.kind === 'in-place') throw new HomewardError('not-in-this-version', 'not in place');
  const disk = (name: string, to: string, format: string): RecoverPlan['disks'][number] => ({
    name,
    size: 20 * 1024 ** 3,
    to,
    format,
    found: target.kind === 'block' ? 'ext4 "old"' : null,
  });
  const disks =
    target.kind === 'block'
      ? target.devices.map(({ disk: name, device }) => disk(name, device, 'block'))
      : [disk('root', `${target.directory}/root.${target.kind}`, target.kind)];
  return { machine, lsn: 118, time, asked: at.startsWith('2') ? time : null, disks };
}
