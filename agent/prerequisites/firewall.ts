// `firewall`: whether what others have to reach here is let in; a master target opens no port.
import { pass, skipped, warn, type Check } from './check.ts';
import type { Host } from './host.ts';

/** Where each role listens unless it is told otherwise. */
const listens: Readonly<Record<string, number>> = { 'config-server': 443, 'process-server': 9443 };

export const firewall: Check = {
  id: 'firewall',
  severity: 'advice',
  title: 'Firewall',
  async run(host, { role }) {
    const port = listens[role];
    if (port === undefined) return pass('nothing has to be let in: this host asks, and is not asked');
    const open = await isOpen(host, port);
    if (open === null) return skipped(`no firewalld and no ufw here; others have to reach port ${port}`);
    if (open.isOpen) return pass(`${open.program} lets port ${port} in`);
    const command =
      open.program === 'ufw'
        ? `sudo ufw allow ${port}/tcp`
        : `sudo firewall-cmd --permanent --add-port=${port}/tcp && sudo firewall-cmd --reload`;
    return warn(`${open.program} does not say that it lets port ${port} in`, `If it is to: ${command}`);
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
