// The directory of sockets below /run, which goes with every boot: systemd makes it anew, and where there is
// none, whoever needs it does.
import fs from 'node:fs';
import path from 'node:path';

/** Where sockets lie when nothing else is said. */
export const runDirectory = '/run/homeward';

/**
 * Makes the directory of `socket` where that is `directory`, for root and group `homeward` (mode 0750). Any
 * other is not ours to make. What keeps it from being made is said by who listens there then.
 */
export function ensureRunDirectory(socket: string, directory = runDirectory, groups?: string): void {
  if (path.dirname(socket) !== directory || fs.existsSync(directory)) return;
  try {
    fs.mkdirSync(directory, { mode: 0o750 });
    const group = groupId(groups ?? readGroups(), 'homeward');
    if (group !== null) fs.chownSync(directory, process.geteuid?.() ?? 0, group);
  } catch {
    // Listening fails for the same reason.
  }
}

/** The number of a group in the text of /etc/group, or null. */
export function groupId(groups: string, name: string): number | null {
  const line = groups.split('\n').find((candidate) => candidate.startsWith(`${name}:`));
  const gid = Number(line?.split(':')[2] ?? NaN);
  return Number.isSafeInteger(gid) ? gid : null;
}

/** The text of /etc/group; a host without the file has no groups. */
export function readGroups(): string {
  try {
    return fs.readFileSync('/etc/group', 'utf8');
  } catch {
    return '';
  }
}
