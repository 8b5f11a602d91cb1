// What a host is for, where no installer has asked: packages of distributions leave it open.
import type { Config } from '../../core/config.ts';
import { HomewardError } from '../../core/errors.ts';
import { daemonOfRole } from '../../core/service-drop-in.ts';

type Role = Config['role'];

/** Throws 'usage' for what is no role, 'conflict' for a host that is registered with another one. */
export function chooseRole(wanted: string, { role, hostId }: Config): Role {
  if (!isRole(wanted)) {
    throw new HomewardError('usage', `${JSON.stringify(wanted)} is no role`, {
      hint: `Check --role: ${Object.keys(daemonOfRole).join(', ')}.`,
    });
  }
  if (hostId !== '' && wanted !== role) {
    throw new HomewardError('conflict', `this host is registered as ${role}`, {
      hint: 'Another role is another host: remove Homeward with its configuration, and install it again.',
    });
  }
  return wanted;
}

const isRole = (text: string): text is Role => Object.hasOwn(daemonOfRole, text);
