// What a host is told of the site for its checks: no more than it needs.
import type { SiteFacts } from '../../core/registration/site-facts.ts';
import type { Registry } from '../registry.ts';
import type { KnownHost } from './host-list.ts';

/** A mobility service joins without anybody's yes: it is told of its own process servers alone. */
export function siteFactsFor({ version, clock, hosts, assignments }: Registry, host: KnownHost): SiteFacts {
  const assigned = assignments.active().filter(({ source }) => source === host.id);
  const own = new Set(assigned.map(({ processServer }) => processServer.hostId));
  const servers = hosts.list().filter(({ role, id }) => {
    return role === 'process-server' && id !== host.id && (host.role !== 'mobility' || own.has(id));
  });
  return {
    time: clock.now(),
    version,
    processServers: servers.map((server) => ({
      name: server.name,
      version: server.version,
      addresses: server.addresses,
    })),
  };
}
