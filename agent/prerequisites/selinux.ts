// `selinux`: its mode, and whether our files have the labels that the policy gives them.
import path from 'node:path';
import { installations } from '../../core/usual-places.ts';
import { fail, pass, skipped, warn, type Check, type CheckContext } from './check.ts';
import type { CommandResult, Host } from './host.ts';

export const selinux: Check = {
  id: 'selinux',
  severity: 'advice',
  title: 'SELinux',
  async run(host, context) {
    const enforce = host.read('/sys/fs/selinux/enforce')?.trim();
    if (enforce === undefined) return skipped('this host does not use SELinux');
    const mode = enforce === '1' ? 'enforcing' : 'permissive';
    const result = await relabel(host, context, ['-n']);
    if (result === null) return warn(`${mode}; restorecon, which knows the labels, is not installed`, null);
    const wrong = changedFiles(result);
    if (wrong.length === 0) return pass(`${mode}; our files have their labels`);
    const first = wrong.slice(0, 3).join(', ') + (wrong.length > 3 ? ` and ${wrong.length - 3} more` : '');
    const found = `${mode}; labels are not those of the policy: ${first}`;
    const action = `Run \`homeward check --fix\`, or: sudo restorecon -R ${places(host, context).join(' ')}`;
    return mode === 'enforcing' ? fail(found, action) : warn(found, action);
  },
  async fix(host, context) {
    if (host.uid !== 0) throw new Error('this needs root');
    const result = await relabel(host, context, []);
    if (result?.status !== 0) throw new Error(result?.stderr.trim() ?? 'restorecon is not installed');
    return `gave ${changedFiles(result).length} files their labels`;
  },
};

/** Without the volumes: there may be millions of files, which the daemon makes itself. */
const places = (host: Host, { data }: CheckContext): string[] =>
  [
    ...installations().map((directory) => path.dirname(directory)),
    ...['/usr/local/bin/homeward', '/etc/systemd/system', data],
  ].filter((place) => host.stat(place) !== null);

async function relabel(
  host: Host,
  context: CheckContext,
  flags: readonly string[],
): Promise<CommandResult | null> {
  const found = places(host, context);
  if (found.length === 0) return { status: 0, stdout: '', stderr: '' };
  return host.run('restorecon', [...flags, '-v', '-R', ...found]);
}

/** `Would relabel /usr/local/ASR/x from a to b`, or `Relabeled …`. */
const changedFiles = ({ stdout }: CommandResult): string[] =>
  [...stdout.matchAll(/^(?:Would relabel|Relabeled) (\S+) from /gm)].map(([, file = '']) => file);
