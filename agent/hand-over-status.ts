// What status says of machines that are handed over, or were.
import type { Assignment } from '../core/identity/assignment.ts';
import type { MachineStatus } from './control/service.ts';
import { isUnderWay } from './recovery/hand-over.ts';
import type { MachineFile } from './replica/machine-file.ts';
import { replicaPath } from './replica/replicas.ts';

/** In words; null when there is nothing that anybody has to do. */
export function handOverDetail(
  file: Readonly<MachineFile>,
  assignment: Pick<Assignment, 'ended'> | null,
): string | null {
  const { handOver, name } = file;
  if (handOver === undefined) return null;
  const { to, lsn } = handOver;
  const where = to.kind === 'run' ? `run on ${to.listen}` : `be released to ${to.name}`;
  if (isUnderWay(file)) return `it is being handed over at lsn:${lsn}, to ${where}`;
  if (assignment === null || assignment.ended) return null;
  return `it was handed over at lsn:${lsn}, and its old source is refused: homeward unprotect ${name}`;
}

/** Nothing of it is open here. */
export function releasedStatus(file: MachineFile, replicas: string): MachineStatus {
  const { id, name, disks, path, handOver } = file;
  const { lsn = 0, time = null, begun = '', to } = handOver ?? {};
  const whom = to?.kind === 'release' ? to.name : 'somebody else';
  const point = time === null ? `lsn:${lsn}` : `lsn:${lsn}, ${time}`;
  return {
    id,
    name,
    disks: disks.map((disk) => ({
      name: disk.name,
      size: disk.size,
      replica: replicaPath(replicas, id, disk),
    })),
    state: 'released',
    detail: `released to ${whom} on ${begun}, as of ${point}: its history has ended`,
    listen: null,
    rpoSeconds: null,
    headLsn: lsn,
    durableLsn: lsn,
    appliedLsn: lsn,
    oldestLsn: null,
    redoBytes: 0,
    undoBytes: 0,
    backlog: { source: 0, processServer: 0, target: 0 },
    path: path ?? 'ingest',
  };
}
