// Whether anything lies on the retention volume that does not belong there.
import { relative } from 'node:path';
import type { CheckContext } from './check.ts';
import type { Host } from './host.ts';
import type { Mount } from './mounts.ts';
import type { Fault } from './retention-volume.ts';

/** What a file system, or we, put into the root of a volume; a machine's history is a directory by its id. */
const ours = [
  /^lost\+found$/,
  /^homeward-volume\.json(?:\.new|\.previous)?$/,
  /^lock$/,
  /^\.homeward-check-\d+$/,
  /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/,
  // fstrim, quotas and SELinux leave these.
  /^\.autorelabel$/,
  /^aquota\.(?:user|group)$/,
];

const mostNamed = 3;

/** Names in the root of the file system; the directories on the way to what is ours are ours. */
export function findForeign(host: Host, retention: string, mount: Mount, context: CheckContext): Fault[] {
  const real = (path: string | null): string | null => (path === null ? null : (host.realPath(path) ?? path));
  const places = [retention, context.data, context.replicaDirectory, context.spool].flatMap(
    (path) => real(path) ?? [],
  );
  const onTheWay = new Set(places.flatMap((path) => firstStep(mount.point, path) ?? []));
  const foreign = (host.list(mount.point) ?? []).filter(
    (name) => !onTheWay.has(name) && !ours.some((pattern) => pattern.test(name)),
  );
  if (foreign.length === 0) return [];
  const some = foreign.slice(0, mostNamed).join(', ') + (foreign.length > mostNamed ? ', …' : '');
  return [
    {
      result: 'fail',
      found: `${mount.point} holds what is not ours: ${some}`,
      action: `Move these away: nothing else may take the room of the retention volume.`,
    },
  ];
}

/** The first name below `point` on the way to `path`; null when it lies elsewhere. */
function firstStep(point: string, path: string): string | null {
  const way = relative(point, path);
  return way === '' || way.startsWith('..') ? null : (way.split('/')[0] ?? null);
}
