// Where the disks may be offered: a Unix socket, or TCP that nobody outside can reach.
import { isIP } from 'node:net';
import { HomewardError } from '../core/errors.ts';
import type { Listen } from '../core/names.ts';
import type { NbdAddress } from '../core/nbd/server.ts';

/** Throws 'plain-tcp' for TCP that can be reached from outside: whoever reaches the disks may write them. */
export function frontAddress(listen: Listen): NbdAddress {
  if (listen.kind === 'unix') return { path: listen.path };
  const { host, port } = listen;
  if (host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.')))
    return { host, port };
  throw new HomewardError('plain-tcp', `tcp:${host}:${port} can be reached from outside`, {
    hint: 'Listen on loopback or a Unix socket.',
  });
}
