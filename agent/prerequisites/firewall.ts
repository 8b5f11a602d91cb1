// `firewall`: whether what others have to reach here is let in; a master target opens no port.
import { pass, skipped, warn, type Check } from './check.ts';
import type { Host } from './host.ts';

export const firewall: Check = {
  id: 'firewall',
  severity: 'advice',
  title: 'Firewall',
  async run(host, { ports }) {
    if (ports.length === 0) return pass('nothing has to be let in: this host asks, and is not asked');
    const all = ports.length === 1 ? `port ${ports[0]}` : `ports ${ports.join(', ')}`;
    const firewalls = await Promise.all(ports.map((port) => isOpen(host, port)));
    const closed = ports.filter((_port, at) => firewalls[at]?.isOpen === false);
    const program = firewalls[0]?.program;
    if (program === undefined) return skipped(`no firewalld and no ufw here; others have to reach ${all}`);
    if (closed.length === 0) return pass(`${program} lets ${all} in`);
    const commands =
      program === 'ufw'
        ? closed.map((port) => `sudo ufw allow ${port}/tcp`)
        : [
            `sudo firewall-cmd --permanent ${closed.map((port) => `--add-port=${port}/tcp`).join(' ')}`,
            'sudo firewall-cmd --reload',
          ];
    const which = closed.length === 1 ? `port ${closed[0]}` : `ports ${closed.join(', ')}`;
    return warn(
      `${program} does not say that it lets ${which} in`,
      `If others are to reach it: ${commands.join(' && ')}`,
    );
  },
};

async function isOpen(host: Host, port: number): Promise<{ program: string; isOpen: boolean } | null> {
  const zone = await host.run('firewall-cmd', ['--list-all']);
  if (zone?.status === 0) {
    const service = port === 443 && /^\s*services:.*\bhttps\b/m.test(zone.stdout);
    return { program: 'firewalld', isOpen: service || new RegExp(`\\b${port}/tcp\\b`).test(zone.stdout) };
  }
  const ufw = await host.run('ufw', ['status']);
  if (ufw?.status !== 0 || !/^Status: active/m.test(ufw.stdout)) return null;
  return { program: 'ufw', isOpen: new RegExp(`^${port}(?:/tcp)?\\s+ALLOW`, 'm').test(ufw.stdout) };
}
