// `version`: no host is newer than those that it gets its orders and writes from, so that none is asked for
// what it does not know.
import { isNewerVersion } from '../../core/identity/version-order.ts';
import { fail, pass, skipped, type Check } from './check.ts';

/** In the order of an upgrade: the configuration server first. */
const order = ['config-server', 'process-server', 'master-target'] as const;

const roleNames: Readonly<Record<string, string>> = {
  'config-server': 'configuration server',
  'process-server': 'process server',
  'master-target': 'master target',
  mobility: 'mobility service',
};

export const version: Check = {
  id: 'version',
  severity: 'hard',
  title: 'Versions',
  async run(_host, context) {
    const { role, configServer, versions } = context;
    if (role === 'config-server') return pass(`${context.version}; no other host may be newer`);
    if (configServer === null && versions.length === 0)
      return skipped(`${context.version}; this host runs alone`);
    if (versions.length === 0) return skipped(`${context.version}; those of the servers are not known now`);
    const rank = (of: string): number => order.indexOf(of as (typeof order)[number]);
    // A mobility service is the last in the line: it must not be newer than its process server either.
    const mine = rank(role) === -1 ? order.length : rank(role);
    const tooOld = versions.filter((other) => {
      const theirs = rank(other.role);
      return theirs !== -1 && theirs < mine && isNewerVersion(context.version, other.version);
    });
    const spell = (other: (typeof versions)[number]): string =>
      `${roleNames[other.role] ?? other.role} ${other.name} has ${other.version}`;
    if (tooOld.length > 0) {
      return fail(
        `this ${roleNames[role] ?? role} has ${context.version}, but the ${tooOld.map(spell).join(', the ')}`,
        'Upgrade in this order: configuration server, process servers, master targets, mobility services.',
      );
    }
    return pass(`${context.version}; the ${versions.map(spell).join(', the ')}`);
  },
};
