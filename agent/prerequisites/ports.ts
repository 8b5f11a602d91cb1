// `ports`: the configuration server and the process servers answer, each tried and named.
import { formatAddress } from '../../core/identity/address.ts';
import { fail, pass, skipped, type Check } from './check.ts';

const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nobody listens there',
  ETIMEDOUT: 'no answer; a firewall may drop it',
  ENOTFOUND: 'its name cannot be resolved',
  EAI_AGAIN: 'its name cannot be resolved now',
  EHOSTUNREACH: 'no way to it',
  ENETUNREACH: 'no way to it',
};

export const ports: Check = {
  id: 'ports',
  severity: 'advice',
  title: 'Connections',
  async run(host, { role, configServer, processServers }) {
    if (role === 'config-server') return skipped('others come to this host: `firewall` is about that');
    const servers = [
      ...(configServer === null ? [] : [{ ...configServer, what: 'configuration server' }]),
      ...processServers.map((server) => ({ ...server, what: 'process server' })),
    ];
    if (servers.length === 0) return skipped('this host reports to no configuration server: it runs alone');
    const reached: string[] = [];
    const failed: string[] = [];
    for (const server of servers) {
      const why = await host.tryConnect(server.host, server.port);
      const name = `${server.what} ${formatAddress(server.host, server.port)}`;
      if (why === null) reached.push(name);
      else failed.push(`${name}: ${reasons[why] ?? why}`);
    }
    if (failed.length === 0) return pass(`reached ${reached.join(', ')}`);
    const also = reached.length === 0 ? '' : `; reached ${reached.join(', ')}`;
    return fail(
      `${failed.join('; ')}${also}`,
      'See that it runs, and that firewalls let these ports through from here.',
    );
  },
};
