// Which settings mean something to a host of a role.
import type { HostSettings } from './model.ts';

/** Only who keeps history has a retention volume and replicas. */
export const canSelect = (role: HostSettings['role'], what: 'retention' | 'server'): boolean =>
  what === 'retention' ? role === 'MasterTarget' || role === 'AllInOne' : !isServer(role);

/** These are, or bring with them, the configuration server: they enrol with none. */
export const isServer = (role: HostSettings['role']): boolean =>
  role === 'ConfigServer' || role === 'AllInOne';
