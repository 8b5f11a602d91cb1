// `name-resolution`: this host's own name, and those of the servers it talks to, lead somewhere.
import { isIP } from 'node:net';
import { fail, pass, skipped, type Check } from './check.ts';

export const nameResolution: Check = {
  id: 'name-resolution',
  severity: 'advice',
  title: 'Name resolution',
  async run(host, { configServer, processServers }) {
    const own = (host.read('/proc/sys/kernel/hostname') ?? host.read('/etc/hostname') ?? '').trim();
    if (own === '') return skipped('this host has no name');
    const servers = [...(configServer === null ? [] : [configServer]), ...processServers];
    const names = new Set([own, ...servers.map((server) => server.host).filter((name) => isIP(name) === 0)]);
    const known: string[] = [];
    const unknown: string[] = [];
    for (const name of names) {
      const addresses = await host.resolve(name);
      if (addresses === null || addresses.length === 0) unknown.push(name);
      else known.push(`${name} is ${addresses.join(', ')}`);
    }
    if (unknown.length === 0) return pass(known.join('; '));
    return fail(
      `cannot be resolved: ${unknown.join(', ')}`,
      'Have DNS know it, or add a line with its address to /etc/hosts.',
    );
  },
};
