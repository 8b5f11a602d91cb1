// What the Host Config Interface asks of the checks: which volumes of this host can keep history, and why the
// others cannot, in the words of the checks themselves.
import { readAccepted } from './accepted-checks.ts';
import { readBlockGraph } from './block-graph.ts';
import { emptyContext, type CheckContext } from './check.ts';
import { liveHost, type Host } from './host.ts';
import { devicesOf, readMounts, type Mount } from './mounts.ts';
import { retentionNotLvm } from './not-on-lvm.ts';
import { retentionVolume } from './retention-volume.ts';
import { readVersion } from '../../core/version.ts';

export interface JudgedVolume {
  mountPoint: string;
  fileSystem: string;
  totalBytes: number;
  freeBytes: number;
  /** Why it cannot be a retention volume; null when it can. */
  reason: string | null;
}

/**
 * Every mounted volume on a block device, those first that can be chosen. Nothing is written anywhere: only
 * the one that is chosen is tried, by `judgeRetention`. `data` is that of the daemon.
 */
export async function judgeVolumes(data: string, host: Host = liveHost()): Promise<JudgedVolume[]> {
  const graph = readBlockGraph(host);
  const looking: Host = { ...host, tryWrite: () => Promise.resolve(null) };
  // Of mounts over each other the last is the one that is seen.
  const mounts = new Map(readMounts(host).map((mount): [string, Mount] => [mount.point, mount]));
  const judged: JudgedVolume[] = [];
  for (const mount of mounts.values()) {
    const isVolume = devicesOf(host, graph, mount).length > 0 && host.stat(mount.point)?.kind === 'directory';
    if (!isVolume) continue;
    const space = host.statfs(mount.point);
    const reason = (await judgeRetention(mount.point, data, looking))?.found ?? null;
    judged.push({
      ...{ mountPoint: mount.point, fileSystem: mount.type, reason },
      ...{ totalBytes: space?.total ?? 0, freeBytes: space?.free ?? 0 },
    });
  }
  return judged.toSorted((one, other) => Number(one.reason !== null) - Number(other.reason !== null));
}

/**
 * Why a directory cannot keep history, and what to do; null when it can, when somebody answers for it, and
 * where the devices of this host cannot be seen.
 */
export async function judgeRetention(
  retention: string,
  data: string,
  host: Host = liveHost(),
): Promise<{ found: string; action: string } | null> {
  const accepted = readAccepted(data);
  const context: CheckContext = {
    ...emptyContext('master-target', readVersion(), data),
    ...{ retention, accepted },
  };
  for (const check of [retentionVolume, retentionNotLvm]) {
    if (accepted.some(({ id }) => id === check.id)) continue;
    try {
      const { result, found, action } = await check.run(host, context);
      if (result === 'fail') return { found, action: action ?? '' };
    } catch {
      return null; // a container that shows no devices: the check of the service says so
    }
  }
  return null;
}
