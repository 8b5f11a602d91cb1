// Sums up V8's processor profiles: the time spent in each function itself, by file and name.
import fs from 'node:fs';
import path from 'node:path';

interface CpuProfile {
  nodes: { id: number; callFrame: { functionName: string; url: string } }[];
  samples: number[];
  /** Microseconds before each sample. */
  timeDeltas: number[];
}

export interface ThreadProfile {
  thread: string;
  busySeconds: number;
  /** Seconds by place. */
  times: Map<string, number>;
}

const notWork = new Set(['(idle)', '(root)']);
const leastShare = 0.01;

/** One for each thread that worked, the busiest first. */
export function readProfiles(directory: string): ThreadProfile[] {
  return fs
    .readdirSync(directory)
    .map((name) => readProfile(path.join(directory, name)))
    .filter(({ busySeconds }) => busySeconds > 0.5)
    .sort((a, b) => b.busySeconds - a.busySeconds);
}

/** The places that took at least one percent, the rest as one. */
export function shares({ times, busySeconds }: ThreadProfile): { name: string; share: number }[] {
  const all = [...times].map(([name, seconds]) => ({ name, share: seconds / busySeconds }));
  const shown = all.filter(({ share }) => share >= leastShare).sort((a, b) => b.share - a.share);
  const rest = 1 - shown.reduce((sum, { share }) => sum + share, 0);
  return [...shown, { name: 'everything below 1 %', share: rest }];
}

function readProfile(file: string): ThreadProfile {
  const profile = JSON.parse(fs.readFileSync(file, 'utf8')) as CpuProfile;
  const places = new Map(profile.nodes.map(({ id, callFrame }) => [id, placeOf(callFrame)]));
  const times = new Map<string, number>();
  for (const [index, id] of profile.samples.entries()) {
    const place = places.get(id) ?? '(unknown)';
    if (notWork.has(place)) continue;
    times.set(place, (times.get(place) ?? 0) + (profile.timeDeltas[index] ?? 0) / 1e6);
  }
  const busySeconds = [...times.values()].reduce((sum, seconds) => sum + seconds, 0);
  return { thread: threadOf(profile), busySeconds, times };
}

function placeOf({ functionName, url }: CpuProfile['nodes'][number]['callFrame']): string {
  const name = functionName === '' ? '(anonymous)' : functionName;
  if (url === '') return name;
  if (url.startsWith('node:')) return `${name}, ${url}`;
  return `${name}, ${url.split('/').slice(-2).join('/')}`;
}

function threadOf({ nodes }: CpuProfile): string {
  const has = (file: string): boolean => nodes.some(({ callFrame }) => callFrame.url.endsWith(file));
  if (has('process-server/machine.ts')) return 'process server';
  if (has('mobility/machine.ts')) return 'source';
  if (has('config-server/daemon.ts')) return 'configuration server';
  if (has('agent/daemon.ts') || has('nbd/transmission.ts')) return 'main thread';
  if (has('step-worker.ts')) return 'apply thread';
  return has('merge-worker.ts') ? 'merge thread' : 'other thread';
}
